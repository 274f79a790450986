"""Where a local store's artefacts lie: absolute places in its database, put right after a move.

MLflow writes the whole path of the artefacts' folder into every row. A repository that was moved
has its artefacts beside mlflow.db, and rows that look for them where the repository was.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.console import say, warn

NAME = "mlartifacts"

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""What may hold a place; a table that this store lacks is passed over."""


@dataclass(frozen=True)
class Places:
    """Beginnings of places, as the database has them, that don't lead to `target`.

    target: where the artefacts belong. moved: the folder is gone, and `target` holds what was in
    it. copied: the folder is there, and `target` holds the same rows. lost: the folder is gone,
    and `target` has nothing of it.
    """

    target: Path
    moved: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def target_of(database: Path, root: Path) -> Path:
    """The folder of the artefacts: the repository's, else the one beside the database."""
    root = root.resolve()
    home = root if database.is_relative_to(root) else database.parent
    return (home / NAME).resolve()


def look(database: Path, root: Path) -> Places:
    """What is wrong with the places in a SQLite store; sqlite3.Error if it can't be read."""
    target = target_of(database, root)
    found: dict[str, list[str]] = {"moved": [], "copied": [], "lost": []}
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
        rows_of = _prefixes(connection)
    for prefix, rows in rows_of.items():
        if verdict := _verdict(prefix, rows, target):
            found[verdict].append(prefix)
    return Places(target, **{name: tuple(sorted(each)) for name, each in found.items()})


def _prefixes(connection: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
    """Places of experiments and, less what each row appends, of runs; with the runs' ids."""
    found: dict[str, list[str]] = {}
    if {"experiments", "runs"} <= _tables(connection):
        for (place,) in connection.execute("SELECT artifact_location FROM experiments"):
            found.setdefault(place or "", [])
        for place, run_id in connection.execute("SELECT artifact_uri, run_uuid FROM runs"):
            if (place or "").endswith(end := f"/{run_id}/artifacts"):
                found.setdefault(place.removesuffix(end), []).append(run_id)
    return found


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def _verdict(prefix: str, rows: Sequence[str], target: Path) -> str | None:
    folder = local_folder(prefix)
    if folder is None or folder.name not in (NAME, target.name) or folder == target:
        return None
    here = target.is_dir() and any((target / run_id).is_dir() for run_id in rows)
    if _exists(folder):
        return "copied" if here and not _same(folder, target) else None
    return "moved" if here or (target.is_dir() and not rows) else "lost"


def local_folder(place: str) -> Path | None:
    """The folder that a URI or an absolute path names; None for servers, buckets, odd ones."""
    if place.startswith("/"):
        return Path(place)
    try:
        parts = urlsplit(place)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    path = Path(unquote(parts.path))
    return path if path.is_absolute() and not (parts.query or parts.fragment) else None


def _exists(path: Path) -> bool:
    """Also what this user may not look at."""
    try:
        return path.exists()
    except OSError:
        return True


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def mend(database: Path, root: Path) -> None:
    """Let a store that was moved with its artefacts find them, and say so; warn of a copy.

    The caller has the store for itself. sqlite3.Error if it can't be read or written.
    """
    places = look(database, root)
    if places.moved:
        count = rewrite(database, places.moved, places.target)
        say(
            f"{database}: moved; its rows now find their files in {places.target} ({count} places)"
        )
    elif places.copied:
        warn(
            f"{database} is a copy: files are read from and written to "
            f"{local_folder(places.copied[0])}; `gan doctor --repair` lets it use its own"
        )


def rewrite(database: Path, prefixes: Sequence[str], target: Path) -> int:
    """Replace beginnings of places by `target`, all or none; returns how many places changed.

    What lies at its old place only keeps it.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        changes = [
            change
            for table, column in COLUMNS
            if table in _tables(connection)
            for change in _changes(connection, table, column, prefixes, target)
        ]
        for statement, values in changes:
            connection.execute(statement, values)
        connection.execute("COMMIT")
    return len(changes)


def _changes(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    prefixes: Sequence[str],
    target: Path,
) -> Iterator[tuple[str, tuple[str, int]]]:
    statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
    for number, place in connection.execute(f"SELECT rowid, {column} FROM {table}"):
        for prefix in prefixes:
            if place == prefix or (place or "").startswith(f"{prefix}/"):
                new = _replaced(place, prefix, target)
                if table == "experiments" or not _only_at(place, new):
                    yield statement, (new, number)


def _replaced(place: str, prefix: str, target: Path) -> str:
    beginning = str(target) if prefix.startswith("/") else target.as_uri()
    return beginning + place.removeprefix(prefix)


def _only_at(old: str, new: str) -> bool:
    before, after = local_folder(old), local_folder(new)
    return bool(before and after and _exists(before) and not _exists(after))
