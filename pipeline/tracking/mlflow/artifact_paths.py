"""Artefact paths of a local store: absolute in its database, rewritten after a move.

MLflow writes the absolute path of the artefacts' folder into every run. A repository that was
moved has its artefacts beside mlflow.db, and runs that name the folder where the repository was.
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
"""Columns that hold artefact locations; tables that a store lacks are skipped."""


@dataclass(frozen=True)
class ArtifactRoots:
    """Artefact roots in the database that are other folders than `target`.

    target: the folder of this store's artefacts. moved: the root is gone, and `target` has its
    files. copied: the root exists, and `target` has files of the same runs. lost: the root is
    gone, and `target` has none of its files.
    """

    target: Path
    moved: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def artifact_folder(database: Path, root: Path) -> Path:
    """Folder of the artefacts: the repository's, else the one beside the database."""
    root = root.resolve()
    home = root if database.is_relative_to(root) else database.parent
    return (home / NAME).resolve()


def inspect_roots(database: Path, root: Path) -> ArtifactRoots:
    """Classify the artefact roots of a SQLite store; sqlite3.Error if it can't be read."""
    target = artifact_folder(database, root)
    classes: dict[str, list[str]] = {"moved": [], "copied": [], "lost": []}
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
        run_ids = _runs_by_root(connection)
    for uri, ids in run_ids.items():
        if kind := _classify(uri, ids, target):
            classes[kind].append(uri)
    return ArtifactRoots(target, **{name: tuple(sorted(uris)) for name, uris in classes.items()})


def _runs_by_root(connection: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
    """Ids of runs by artefact root: an experiment's location, a run's less its own ending."""
    runs: dict[str, list[str]] = {}
    if {"experiments", "runs"} <= _tables(connection):
        for (uri,) in connection.execute("SELECT artifact_location FROM experiments"):
            runs.setdefault(uri or "", [])
        for uri, run_id in connection.execute("SELECT artifact_uri, run_uuid FROM runs"):
            if (uri or "").endswith(end := f"/{run_id}/artifacts"):
                runs.setdefault(uri.removesuffix(end), []).append(run_id)
    return runs


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def _classify(uri: str, run_ids: Sequence[str], target: Path) -> str | None:
    folder = local_folder(uri)
    if folder is None or folder.name not in (NAME, target.name) or folder == target:
        return None
    here = target.is_dir() and any((target / run_id).is_dir() for run_id in run_ids)
    if _exists(folder):
        return "copied" if here and not _same(folder, target) else None
    return "moved" if here or (target.is_dir() and not run_ids) else "lost"


def local_folder(uri: str) -> Path | None:
    """Folder that a URI or an absolute path names; None for servers, buckets, malformed ones."""
    if uri.startswith("/"):
        return Path(uri)
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    path = Path(unquote(parts.path))
    return path if path.is_absolute() and not (parts.query or parts.fragment) else None


def _exists(path: Path) -> bool:
    """Whether a path exists; True where this user may not read its folder."""
    try:
        return path.exists()
    except OSError:
        return True


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False


def repair_moved(database: Path, root: Path) -> None:
    """Rewrite the paths of a store that was moved with its artefacts, and say so; warn of a copy.

    The caller holds the store's lock. sqlite3.Error if it can't be read or written.
    """
    roots = inspect_roots(database, root)
    if roots.moved:
        count = rewrite_roots(database, roots.moved, roots.target)
        say(f"{database}: moved; {count} artefact paths now lead to {roots.target}")
    elif roots.copied:
        warn(
            f"{database} is a copy: artefacts are read from and written to "
            f"{local_folder(roots.copied[0])}; `gan doctor --repair` lets it use its own"
        )


def rewrite_roots(database: Path, roots: Sequence[str], target: Path) -> int:
    """Replace artefact roots by `target`, all or none; returns the number of paths changed.

    The path of a folder that exists at its old root alone stays.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        changes = [
            change
            for table, column in COLUMNS
            if table in _tables(connection)
            for change in _changes(connection, table, column, roots, target)
        ]
        for statement, values in changes:
            connection.execute(statement, values)
        connection.execute("COMMIT")
    return len(changes)


def _changes(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    roots: Sequence[str],
    target: Path,
) -> Iterator[tuple[str, tuple[str, int]]]:
    statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
    for rowid, uri in connection.execute(f"SELECT rowid, {column} FROM {table}"):
        for root in roots:
            if uri == root or (uri or "").startswith(f"{root}/"):
                new = _replace_root(uri, root, target)
                if table == "experiments" or not _exists_only_at(uri, new):
                    yield statement, (new, rowid)


def _replace_root(uri: str, root: str, target: Path) -> str:
    beginning = str(target) if root.startswith("/") else target.as_uri()
    return beginning + uri.removeprefix(root)


def _exists_only_at(old: str, new: str) -> bool:
    before, after = local_folder(old), local_folder(new)
    return bool(before and after and _exists(before) and not _exists(after))
