"""The MLflow store: where it is, how it is opened, what a record becomes in it.

The only file that imports mlflow, and only inside functions: that takes 2 s and belongs into the
sender's thread.
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pipeline.paths import Paths
from pipeline.sender import RejectedError, RowLostError
from pipeline.spool import Record

SETTINGS = {  # MLflow's own defaults wait 248 s for a dead server, chat and phone home
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
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
    return uri if database is None else f"sqlite:///{paths.main_root.resolve() / database}"


def sqlite_file(uri: str) -> Path | None:
    """The database file of a plain SQLite URI, None for everything else."""
    if not uri.startswith("sqlite:///") or "?" in uri or ":memory:" in uri:
        return None
    return Path(uri.removeprefix("sqlite:///"))


def store_exists(uri: str) -> bool:
    """Whether something was recorded yet; servers and databases are taken to be there."""
    database = sqlite_file(uri)
    return database is None or (database.is_file() and database.stat().st_size > 0)


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
    _client(f"sqlite:///{draft}")
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


def _open(uri: str) -> Any:
    """A client on an opened store. One process at a time: two would create tables twice."""
    database = sqlite_file(uri)
    if database is None:
        return _client(uri)
    with _exclusively(database):
        if database.exists():
            _check_writable(database)
        if not store_exists(uri):
            _create(database)
        return _client(uri)


def _parts(items: list[Any], most: int) -> Iterator[list[Any]]:
    """Cut into what one call of MLflow's log_batch takes."""
    return (items[first : first + most] for first in range(0, len(items), most))


class MlflowStore:
    """A `Receiver` over MlflowClient; slow to make (imports mlflow, may create the database)."""

    def __init__(self, uri: str, root: Path) -> None:
        for key, value in SETTINGS.items():
            os.environ.setdefault(key, value)
        self._artifacts = None if uri.startswith("http") else (root / "mlartifacts").resolve()
        self._client = _open(uri)

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

    def open(self, row: Mapping[str, Any]) -> str:
        """The row of a spool, or for `attach` the newest of its run key; created if missing."""
        if row.get("run_id"):
            return str(row["run_id"])
        attached = "attach" in row
        key = f"run_key = '{row['attach']}'" if attached else f"spool = '{row['id']}'"
        found = self.newest(row["experiment"], key)
        if found is None and attached:
            found = self._newest_anywhere(key)
        return found or self._create(row)

    def _create(self, row: Mapping[str, Any]) -> str:
        run = self._client.create_run(
            self._experiment(row["experiment"]),
            start_time=row["start_time"],
            tags={**row["tags"], "spool": row["id"]},
            run_name=row["name"],
        )
        run_id = str(run.info.run_id)
        if "attach" in row:
            self._params(run_id, row["params"])
            self._client.set_terminated(run_id, "FINISHED", row["start_time"])
        return run_id

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        location = self._artifacts.as_uri() if self._artifacts else None
        if known := self._client.get_experiment_by_name(name):
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(name, location))
        except MlflowException:
            if known := self._client.get_experiment_by_name(name):  # another process was faster
                return str(known.experiment_id)
            raise

    def send(self, row_id: str, records: Sequence[Record], files: Path) -> None:
        """See `Receiver`."""
        from mlflow.exceptions import MlflowException

        try:
            if records[0]["kind"] == "metrics":
                self._metrics(row_id, records)
            else:
                for record in records:
                    self._one(row_id, record, files)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise RowLostError from error
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise RejectedError(str(error)) from error
            raise
        except (ValueError, TypeError, FileNotFoundError) as error:
            raise RejectedError(str(error)) from error

    def _metrics(self, row_id: str, records: Sequence[Record]) -> None:
        from mlflow.entities import Metric

        points = [
            Metric(key, value, record["time"], record["step"])
            for record in records
            for key, value in record["values"].items()
        ]
        for part in _parts(points, 1000):
            self._client.log_batch(row_id, metrics=part)

    def _one(self, row_id: str, record: Record, files: Path) -> None:
        match record["kind"]:
            case "params":
                self._params(row_id, record["values"])
            case "tags":
                self._tags(row_id, record["values"])
            case "image":
                self._image(row_id, record, files / record["file"])
            case "artifact":
                file = str(files / record["file"])
                self._client.log_artifact(row_id, file, record["folder"] or None)
            case "dataset":
                self._dataset(row_id, record)
            case "resume":
                self._client.update_run(row_id, "RUNNING")
            case "end":
                self._client.set_terminated(row_id, record["status"], record["time"])

    def _params(self, row_id: str, values: Mapping[str, str]) -> None:
        """Log new ones; MLflow refuses to change a parameter, so a changed one becomes a tag."""
        from mlflow.entities import Param

        known = self._client.get_run(row_id).data.params
        new = [Param(key, value) for key, value in values.items() if key not in known]
        for part in _parts(new, 100):
            self._client.log_batch(row_id, params=part)
        changed = [(k, v) for k, v in values.items() if known.get(k, v) != v]
        self._tags(row_id, {f"changed.{key}": value for key, value in changed})

    def _tags(self, row_id: str, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in values.items()]
        for part in _parts(tags, 100):
            self._client.log_batch(row_id, tags=part)

    def _image(self, row_id: str, record: Record, file: Path) -> None:
        """Log unless it is there: MLflow puts a random part into the names of images."""
        from mlflow import Image

        key, step, when = record["key"], record["step"], record["time"]
        start = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{when}+"
        there = [each.path for each in self._client.list_artifacts(row_id, "images")]
        if not any(path.startswith(start) and path.endswith(".webp") for path in there):
            image = Image(str(file))
            self._client.log_image(
                row_id, image, key=key, step=step, timestamp=when, synchronous=True
            )

    def _dataset(self, row_id: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(record["name"], record["digest"], "dvc", record["source"])
        context = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(row_id, [DatasetInput(dataset, context)])
