"""Artefact folders in the database of a local store, which names them by absolute paths.

A repository that was moved or copied has its artefacts beside mlflow.db, and a database that leads
to the folder where the repository was: `gan doctor --repair` rewrites it.
"""

import sqlite3
from contextlib import closing
from os.path import exists
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "mlartifacts"

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns that hold artefact locations."""


def artifact_folder(database: Path, root: Path) -> Path:
    """Folder of the artefacts: the repository's, else the one beside the database."""
    root = root.resolve()
    home = root if database.is_relative_to(root) else database.parent
    return (home / NAME).resolve()


def local_folder(uri: str | None) -> Path | None:
    """Folder that a URI or an absolute path names; None for servers, buckets, malformed ones."""
    if not uri or uri.startswith("/"):
        return Path(uri) if uri else None
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    path = Path(unquote(parts.path))
    return path if path.is_absolute() and not (parts.query or parts.fragment) else None


def foreign_root(uri: str | None, home: Path) -> Path | None:
    """The `mlartifacts` folder that a location is in, if that is another one than `home`."""
    folder = local_folder(uri)
    if folder is None or folder.is_relative_to(home) or NAME not in folder.parts:
        return None
    root = next(each for each in (folder, *folder.parents) if each.name == NAME)
    try:
        return None if root.samefile(home) else root
    except OSError:  # one of them does not exist
        return root


def rewrite(database: Path, home: Path) -> int:
    """Make all locations of other `mlartifacts` folders lead to `home`; returns their number.

    That of a run or model whose files exist at the old place alone stays. The caller holds the
    store's lock. All or none are changed: sqlite3.Error.
    """
    changed = 0
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if not {"experiments", "runs"} <= tables:
            return 0  # no store of MLflow's
        for table, column in (each for each in COLUMNS if each[0] in tables):
            found = connection.execute(f"SELECT rowid, {column} FROM {table}")
            for rowid, uri in found.fetchall():
                old, root = local_folder(uri), foreign_root(uri, home)
                if old is None or root is None:
                    continue
                new = home / old.relative_to(root)
                if table == "experiments" or exists(new) or not exists(old):
                    value = str(new) if uri.startswith("/") else new.as_uri()
                    statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
                    connection.execute(statement, (value, rowid))
                    changed += 1
    return changed
