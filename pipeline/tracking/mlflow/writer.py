"""What a spool's records become in the MLflow store: rows, points, pictures, files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.tracking.mlflow.errors import is_active, is_gone, is_refusal, takes_others
from pipeline.tracking.mlflow.row_links import link
from pipeline.tracking.mlflow.store import MlflowStore
from pipeline.tracking.mlflow.uploads import as_it_is, existing, patience_for
from pipeline.tracking.model.log_model import log_model, takes_no_more
from pipeline.tracking.spool.sender import RejectedError, RowLostError
from pipeline.tracking.spool.spool import Record


def _parts(items: list[Any], most: int) -> Iterator[list[Any]]:
    """Cut into what one call of MLflow's log_batch takes."""
    return (items[first : first + most] for first in range(0, len(items), most))


def _address(source: Mapping[str, Any]) -> dict[str, str]:
    """Where the UI can lead to, if the data came from the web."""
    of = source.get("source")
    _, _, address = str(of.get("source", "")).partition(":") if isinstance(of, dict) else ("",) * 3
    return {"url": address} if address.startswith(("http://", "https://")) else {}


def _source(record: Record) -> dict[str, Any]:
    """Of a dataset; RejectedError if it is damaged."""
    try:
        source: dict[str, Any] = dict(json.loads(record["source"]))
        dict(source.get("columns", {}))
    except (ValueError, TypeError) as error:
        raise RejectedError(f"source of the dataset: {error}") from error
    return source


class MlflowReceiver(MlflowStore):
    """A `Receiver` over MlflowClient."""

    def open(self, row: Mapping[str, Any]) -> str:
        """The row of a spool, or for `attach` the newest of its run key; created if missing.

        A row that is named by its id comes first, unless somebody deleted it.
        """
        if row.get("run_id") and is_active(self._client, row["run_id"]):
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
        try:
            self._all(row_id, records, files)
        except Exception as error:
            if is_gone(error, self._client, row_id):
                raise RowLostError from error
            if not is_refusal(error):
                raise
            if len(records) == 1:
                self._once_more(row_id, records, files, error)
                return
            raise RejectedError(str(error)) from error

    def _once_more(
        self, row_id: str, records: Sequence[Record], files: Path, refusal: Exception
    ) -> None:
        """RejectedError if it is still refused; `refusal` itself if the row takes nothing."""
        if not takes_others(self._client, row_id):
            raise refusal
        try:
            self._all(row_id, records, files)
        except Exception as error:
            if is_refusal(error):
                raise RejectedError(str(error)) from error
            raise

    def _all(self, row_id: str, records: Sequence[Record], files: Path) -> None:
        if records[0]["kind"] == "metrics":
            self._metrics(row_id, records)
            return
        for record in records:
            self._one(row_id, record, files)

    def has_model_of(self, row_id: str, checkpoint: Path) -> bool:
        """Whether the row needs no model of a checkpoint any more, or can't have one."""
        return takes_no_more(self._client, row_id, checkpoint)

    def listed(self, row_id: str, folder: str) -> frozenset[str]:
        """Paths of the row's files in a folder."""
        return frozenset(each.path for each in self._client.list_artifacts(row_id, folder))

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
                self._image(row_id, record, existing(files / record["file"]))
            case "artifact":
                file = existing(files / record["file"])
                with patience_for(file):
                    self._client.log_artifact(row_id, str(file), record["folder"] or None)
            case "dataset":
                self._dataset(row_id, record)
            case "links":
                link(self._client, row_id)
            case "model":
                checkpoint, card = (existing(files / name) for name in record["files"])
                with patience_for(checkpoint, card):
                    log_model(self._client, row_id, checkpoint, card)
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
        key, step, when = record["key"], record["step"], record["time"]
        start = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{when}+"
        there = [each.path for each in self._client.list_artifacts(row_id, "images")]
        if not any(path.startswith(start) and path.endswith(".webp") for path in there):
            self._client.log_image(
                row_id, as_it_is(file), key=key, step=step, timestamp=when, synchronous=True
            )

    def _dataset(self, row_id: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = _source(record)
        columns = [{"name": k, "type": v} for k, v in source.pop("columns", {}).items()]
        address = _address(source)
        dataset = Dataset(
            record["name"],
            record["digest"],
            source_type="http" if address else "dvc",
            source=json.dumps(source | address, sort_keys=True),
            schema=json.dumps({"mlflow_colspec": columns}) if columns else None,
            profile=record["profile"],
        )
        context = [InputTag("mlflow.data.context", record["context"])]
        self._client.log_inputs(row_id, [DatasetInput(dataset, context)])
