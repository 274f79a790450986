"""MLflow store: its address, how it is opened, its runs with a tag.

mlflow is imported inside functions only: that takes 2 s and belongs into the sender's thread.
"""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from filelock import FileLock

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.tracking.mlflow.artifact_paths import artifact_folder, foreign_root, rewrite
from pipeline.tracking.mlflow.environment import LEVEL, SETTINGS

REPAIR = "`gan doctor --repair` points it"


def tracking_uri(paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, else mlflow.db in the repository; never relative to the cwd."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    database = sqlite_file(uri)
    return uri if database is None else sqlite_uri(paths.main_root.resolve() / database)


def sqlite_uri(database: Path) -> str:
    """URI of a database file; a `%` is escaped, which SQLAlchemy would take for an escape."""
    return "sqlite:///" + str(database).replace("%", "%25")


def sqlite_file(uri: str) -> Path | None:
    """Database file of a plain SQLite URI, None for every other URI."""
    if not uri.startswith("sqlite:///") or "?" in uri or ":memory:" in uri:
        return None
    return Path(unquote(uri.removeprefix("sqlite:///")))


def store_exists(uri: str) -> bool:
    """Whether the store exists yet; servers and other databases are assumed to."""
    database = sqlite_file(uri)
    return database is None or (database.is_file() and database.stat().st_size > 0)


def repair_artifact_paths(paths: Paths) -> int:
    """Rewrite the artefact locations of a local store that was moved or copied.

    Returns the number of locations changed. OSError or sqlite3.Error if it can't be done.
    """
    database = sqlite_file(uri := tracking_uri(paths))
    if database is None or not store_exists(uri):
        return 0
    with _lock(database):
        return rewrite(database, artifact_folder(database, paths.main_root))


class MlflowStore:
    """Opened store; slow to construct (imports mlflow, may create the database).

    client: MLflow's. artifacts: folder for the artefacts of new experiments, None if a server
    decides. misplaced: a sentence if the store leads to the artefacts of another repository.
    """

    def __init__(self, uri: str, root: Path) -> None:
        database = sqlite_file(uri)
        self.artifacts = None if uri.startswith("http") else (root / "mlartifacts").resolve()
        self.client = _open_client(uri) if database is None else _open_file(database)
        self.misplaced = _describe_place(self.client, database, root) if database else ""

    def require_place(self) -> None:
        """Raise GanError if artefacts would be written into another repository."""
        if self.misplaced:
            raise GanError(self.misplaced)

    def find_runs(self, tag: str, value: str, experiment: str = "") -> list[Any]:
        """Find the runs with a tag, the newest first: those in an experiment, else in any."""
        every = self.client.search_experiments()
        own = [each.experiment_id for each in every if each.name == experiment]
        condition, newest = f"tags.{tag} = '{value}'", ["start_time DESC"]
        for ids in (own, [each.experiment_id for each in every]):
            if ids and (runs := self.client.search_runs(ids, condition, order_by=newest)):
                return list(runs)
        return []


def _lock(database: Path) -> FileLock:
    database.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{database}.lock", thread_local=False)


def _open_file(database: Path) -> Any:
    """Open a SQLite store, one process at a time: two would create its tables twice."""
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401  # before the lock: importing takes 4 s, opening 0.1 s

    uri = sqlite_uri(database)
    with _lock(database):
        if store_exists(uri):
            with closing(sqlite3.connect(database)) as connection:
                # fails at once where MLflow would try again for minutes
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        else:
            _create(database)
        return _open_client(uri)


def _create(database: Path) -> None:
    """Create a store under another name: a killed migration leaves one that never opens again."""
    draft = database.with_name(database.name + ".new")
    draft.unlink(missing_ok=True)
    _open_client(sqlite_uri(draft))
    draft.replace(database)


def _open_client(uri: str) -> Any:
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # also if mlflow was imported before the settings stood
        logging.getLogger(name).setLevel(os.environ.get(LEVEL, SETTINGS[LEVEL]).upper())
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line a retry
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)  # opens the store
    return client


def _describe_place(client: Any, database: Path, root: Path) -> str:
    """Sentence on a moved or copied store; one outside of the repository may serve several."""
    if not database.is_relative_to(root.resolve()):
        return ""
    home = artifact_folder(database, root)
    for each in client.search_experiments():
        if other := foreign_root(each.artifact_location, home):
            return f"{database} was moved or copied: it leads to {other}; {REPAIR} to {home}"
    return ""
