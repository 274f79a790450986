"""What state a SQLite store is in, found out without changing it."""

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
class Health:
    """rows, trainings: how many, without deleted ones. running: ids and names of rows.

    schema: its revision, "" if there is none. busy: another process writes to it just now.
    """

    rows: int
    trainings: int
    running: Sequence[tuple[str, str]]
    schema: str
    writable: bool
    busy: bool

    @classmethod
    def of(cls, database: Path) -> Self:
        """Look at a file; sqlite3.Error if it is no store of MLflow."""
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
            active = "FROM runs WHERE lifecycle_stage = 'active'"
            keyed = "AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'run_key')"
            (rows,) = connection.execute(f"SELECT count(*) {active}").fetchone()
            (trainings,) = connection.execute(f"SELECT count(*) {active} {keyed}").fetchone()
            running = connection.execute(
                f"SELECT run_uuid, coalesce(name, '') {active} AND status = 'RUNNING'"
            ).fetchall()
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            writable, busy = _taken(connection)
        able = writable and os.access(database.parent, os.W_OK)
        return cls(rows, trainings, running, found[0] if found else "", able, busy)


def _taken(connection: sqlite3.Connection) -> tuple[bool, bool]:
    """Whether it can be written to, and whether another process just does."""
    connection.execute("PRAGMA busy_timeout = 1000")
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    except sqlite3.OperationalError as error:
        return (busy := LOCKED in str(error)), busy
    return True, False


def newest_schema() -> tuple[str, Sequence[str]]:
    """The schema's revision that the installed MLflow works with, and all that it knows.

    MLflow's migrations are read, not MLflow itself, which takes seconds to import.
    """
    from alembic.script import ScriptDirectory

    (package,) = find_spec("mlflow").submodule_search_locations  # type: ignore[union-attr, misc]
    scripts = ScriptDirectory(str(Path(package) / "store" / "db_migrations"))
    return scripts.get_heads()[0], [each.revision for each in scripts.walk_revisions()]


def schema_problem(found: str, newest: tuple[str, Sequence[str]]) -> str:
    """What is the matter with a store's schema; "" if nothing is."""
    head, known = newest
    if found == head:
        return ""
    if found in known:
        return "of an older MLflow than the installed one"
    return "of another MLflow, newer than the installed one perhaps"
