"""MLflow store: its address, how it is opened, its newest run of a tag.

mlflow is imported inside functions only: that takes 2 s and belongs into the sender's thread.
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pipeline.console import warn
from pipeline.paths import Paths
from pipeline.tracking.mlflow.artifact_paths import inspect_roots, repair_moved, rewrite_roots

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

SETTINGS = {  # MLflow's own defaults wait 248 s for a dead server, chat and phone home
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    TIMEOUT: "5",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # it logs a traceback for errors that are handled here
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


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


def repair_if_moved(paths: Paths) -> None:
    """Rewrite the artefact paths of a moved local store, before another program opens it.

    An error costs one line on stderr.
    """
    database = sqlite_file(uri := tracking_uri(paths))
    if database is None or not store_exists(uri):
        return
    try:
        with _lock(database):
            repair_moved(database, paths.main_root)
    except (OSError, sqlite3.Error) as error:
        warn(f"{database}: its artefact paths can't be read: {error}")


def repair_artifact_paths(paths: Paths) -> int:
    """Rewrite all artefact paths of a local store to the folder beside it, also those of a copy.

    Returns the number of paths changed. OSError or sqlite3.Error if it can't be done.
    """
    database = sqlite_file(uri := tracking_uri(paths))
    if database is None or not store_exists(uri):
        return 0
    with _lock(database):
        roots = inspect_roots(database, paths.main_root)
        others = (*roots.moved, *roots.copied, *roots.lost)
        return rewrite_roots(database, others, roots.target) if others else 0


@contextmanager
def _lock(database: Path) -> Iterator[None]:
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(database.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create(database: Path) -> None:
    """Create a store under another name: a killed migration leaves one that never opens again."""
    draft = database.with_name(database.name + ".new")
    draft.unlink(missing_ok=True)
    _client(sqlite_uri(draft))
    draft.replace(database)


def _check_writable(database: Path) -> None:
    """Raise sqlite3.Error at once where MLflow would try again for minutes."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # also if mlflow was imported before the settings stood
        logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line a retry
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)  # opens the store
    return client


def _import_store() -> None:
    """Import MLflow's store before the lock is taken: 4 s of a processor, and opening 0.1 s."""
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401


def _open(uri: str, root: Path) -> Any:
    """Open a store, one process at a time: two would create its tables twice."""
    database = sqlite_file(uri)
    if database is None:
        return _client(uri)
    _import_store()
    with _lock(database):
        if database.exists():
            _check_writable(database)
        if store_exists(uri):
            repair_moved(database, root)
        else:
            _create(database)
        return _client(uri)


class MlflowStore:
    """Opened store; slow to construct (imports mlflow, may create the database)."""

    def __init__(self, uri: str, root: Path) -> None:
        for key, value in SETTINGS.items():
            os.environ.setdefault(key, value)
        self._artifacts = None if uri.startswith("http") else (root / "mlartifacts").resolve()
        self._client = _open(uri, root)

    def newest(self, experiment: str, tag: str) -> str | None:
        """Id of the newest run whose tag matches, in an experiment that may not exist."""
        known = self._client.get_experiment_by_name(experiment)
        return self._newest([known.experiment_id], tag) if known else None

    def _newest(self, experiments: list[str], tag: str) -> str | None:
        runs = self._client.search_runs(
            experiments, f"tags.{tag}", order_by=["start_time DESC"], max_results=1
        )
        return str(runs[0].info.run_id) if runs else None

    def _newest_anywhere(self, tag: str) -> str | None:
        """Like `newest`, in any experiment: a training may have run under another one's name."""
        every = self._client.search_experiments()
        return self._newest([each.experiment_id for each in every], tag) if every else None
