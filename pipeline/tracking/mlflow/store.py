"""The MLflow store: where it is, how it is opened, which rows it has.

Only files named mlflow_* import mlflow, and only inside functions: that takes 2 s and belongs into
the sender's thread.
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
from pipeline.tracking.mlflow.artifact_paths import look, mend, rewrite

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

SETTINGS = {  # MLflow's own defaults wait 248 s for a dead server, chat and phone home
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    TIMEOUT: "5",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # it logs a traceback for what the sender survives
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
    """The URI of a database file; SQLAlchemy takes a `%` for the beginning of an escape."""
    return "sqlite:///" + str(database).replace("%", "%25")


def sqlite_file(uri: str) -> Path | None:
    """The database file of a plain SQLite URI, None for everything else."""
    if not uri.startswith("sqlite:///") or "?" in uri or ":memory:" in uri:
        return None
    return Path(unquote(uri.removeprefix("sqlite:///")))


def store_exists(uri: str) -> bool:
    """Whether something was recorded yet; servers and databases are taken to be there."""
    database = sqlite_file(uri)
    return database is None or (database.is_file() and database.stat().st_size > 0)


def settle(paths: Paths) -> None:
    """Let a local store that was moved find its files, before another program opens it.

    What keeps it from that is said in one line.
    """
    database = sqlite_file(uri := tracking_uri(paths))
    if database is None or not store_exists(uri):
        return
    try:
        with _exclusively(database):
            mend(database, paths.main_root)
    except (OSError, sqlite3.Error) as error:
        warn(f"{database}: where its files lie can't be looked up: {error}")


def point_home(paths: Paths) -> int:
    """Let all rows of a local store look for their files beside it, also those of a copy.

    Returns how many places changed. OSError or sqlite3.Error if it can't be done.
    """
    database = sqlite_file(uri := tracking_uri(paths))
    if database is None or not store_exists(uri):
        return 0
    with _exclusively(database):
        places = look(database, paths.main_root)
        others = (*places.moved, *places.copied, *places.lost)
        return rewrite(database, others, places.target) if others else 0


@contextmanager
def _exclusively(database: Path) -> Iterator[None]:
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(database.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create(database: Path) -> None:
    """A new store appears whole: a killed migration would leave one that never opens again."""
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
    """What takes 4 s of a processor, ahead of the lock: opening alone takes 0.1 s."""
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401


def _open(uri: str, root: Path) -> Any:
    """A client on an opened store. One process at a time: two would create tables twice."""
    database = sqlite_file(uri)
    if database is None:
        return _client(uri)
    _import_store()
    with _exclusively(database):
        if database.exists():
            _check_writable(database)
        if store_exists(uri):
            mend(database, root)
        else:
            _create(database)
        return _client(uri)


class MlflowStore:
    """An opened store; slow to make (imports mlflow, may create the database)."""

    def __init__(self, uri: str, root: Path) -> None:
        for key, value in SETTINGS.items():
            os.environ.setdefault(key, value)
        self._artifacts = None if uri.startswith("http") else (root / "mlartifacts").resolve()
        self._client = _open(uri, root)

    def newest(self, experiment: str, tag: str) -> str | None:
        """Id of the newest row whose tag fits, in an experiment that may not exist."""
        known = self._client.get_experiment_by_name(experiment)
        return self._newest([known.experiment_id], tag) if known else None

    def _newest(self, experiments: list[str], tag: str) -> str | None:
        rows = self._client.search_runs(
            experiments, f"tags.{tag}", order_by=["start_time DESC"], max_results=1
        )
        return str(rows[0].info.run_id) if rows else None

    def _newest_anywhere(self, tag: str) -> str | None:
        """Like `newest`, where somebody trained under another experiment's name."""
        every = self._client.search_experiments()
        return self._newest([each.experiment_id for each in every], tag) if every else None
