"""Status of a SQLite store, read without changing it: counts, schema, locks."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

LOCKED = "locked"  # in SQLite's message


@dataclass(frozen=True)
class DatabaseStatus:
    """Status of a SQLite store. runs, trainings: counts without deleted ones.

    running: ids and names of runs. schema: its revision, "" if there is none. busy: another
    process is writing to it.
    """

    runs: int
    trainings: int
    running: Sequence[tuple[str, str]]
    schema: str
    writable: bool
    busy: bool

    @classmethod
    def read(cls, database: Path) -> Self:
        """Read a database file; sqlite3.Error if it is no store of MLflow."""
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
            active = "FROM runs WHERE lifecycle_stage = 'active'"
            keyed = "AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'run_key')"
            (runs,) = connection.execute(f"SELECT count(*) {active}").fetchone()
            (trainings,) = connection.execute(f"SELECT count(*) {active} {keyed}").fetchone()
            running = connection.execute(
                f"SELECT run_uuid, coalesce(name, '') {active} AND status = 'RUNNING'"
            ).fetchall()
            schema = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            unlocked, busy = _try_lock(connection)
        writable = unlocked and os.access(database.parent, os.W_OK)
        return cls(runs, trainings, running, schema[0] if schema else "", writable, busy)


def _try_lock(connection: sqlite3.Connection) -> tuple[bool, bool]:
    """Whether the database can be written to, and whether another process is writing to it."""
    connection.execute("PRAGMA busy_timeout = 1000")
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    except sqlite3.OperationalError as error:
        return (busy := LOCKED in str(error)), busy
    return True, False


def newest_schema() -> tuple[str, Sequence[str]]:
    """Schema revision of the installed MLflow, and all revisions that it can upgrade.

    Read from MLflow's migrations, since MLflow itself takes seconds to import.
    """
    from alembic.script import ScriptDirectory

    (package,) = find_spec("mlflow").submodule_search_locations  # type: ignore[union-attr, misc]
    scripts = ScriptDirectory(str(Path(package) / "store" / "db_migrations"))
    return scripts.get_heads()[0], [each.revision for each in scripts.walk_revisions()]


def schema_problem(found: str, newest: tuple[str, Sequence[str]]) -> str:
    """Problem of a store's schema in words; "" if it has none."""
    head, known = newest
    if found == head:
        return ""
    if found in known:
        return "of an older MLflow than the installed one"
    return "of another MLflow, perhaps newer than the installed one"
