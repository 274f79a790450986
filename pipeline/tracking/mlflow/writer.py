"""Writer of records into an MLflow store: runs, metrics, pictures, files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from pipeline.tracking.mlflow.errors import is_active, is_rejection, is_writable
from pipeline.tracking.mlflow.run_links import link_stages
from pipeline.tracking.mlflow.store import MlflowStore
from pipeline.tracking.mlflow.uploads import open_verbatim, upload_timeout
from pipeline.tracking.model.log_model import log_model
from pipeline.tracking.run_folder.folder import Record
from pipeline.tracking.run_folder.push import RejectedError, RunLostError

FOLDER_TAG = "spool"
"""Tag with the id of the run folder that a run was created for."""


def source_url(source: Mapping[str, Any]) -> dict[str, str]:
    """Address that the UI links to, if the data came from the web."""
    crawl = source.get("source")
    text = str(crawl.get("source", "")) if isinstance(crawl, dict) else ""
    _, _, address = text.partition(":")
    return {"url": address} if address.startswith(("http://", "https://")) else {}


class MlflowWriter(MlflowStore):
    """Store opened for writing records.

    Raises RejectedError and RunLostError; any other exception means: try again later.
    """

    def open_run(self, header: Mapping[str, Any]) -> str:
        """Find the run of a run folder, or for `attach` the newest of its run key; else create it.

        A run named by its id comes first, unless it was deleted.
        """
        self.require_place()
        if header.get("run_id") and is_active(self.client, header["run_id"]):
            return str(header["run_id"])
        attached = "attach" in header
        tag = ("run_key", header["attach"]) if attached else (FOLDER_TAG, header["id"])
        runs = self.find_runs(*tag, header["experiment"])
        return str(runs[0].info.run_id) if runs else self._create(header)

    def _create(self, header: Mapping[str, Any]) -> str:
        run = self.client.create_run(
            self._experiment(header["experiment"]),
            start_time=header["start_time"],
            tags={**header["tags"], FOLDER_TAG: header["id"]},
            run_name=header["name"],
        )
        run_id = str(run.info.run_id)
        if "attach" in header:
            self._params(run_id, header["params"])
            self.client.set_terminated(run_id, "FINISHED", header["start_time"])
        return run_id

    def _experiment(self, name: str) -> str:
        location = self.artifacts.as_uri() if self.artifacts else None
        if known := self.client.get_experiment_by_name(name):
            return str(known.experiment_id)
        try:
            return str(self.client.create_experiment(name, location))
        except MlflowException:
            if known := self.client.get_experiment_by_name(name):  # another process was faster
                return str(known.experiment_id)
            raise

    def write(self, run_id: str, records: Sequence[Record], files: Path) -> None:
        """Write records of one kind; writing the same ones again changes nothing.

        A record alone is written twice before it counts as rejected; the error itself is raised
        where the run accepts nothing at all.
        """
        for last in (len(records) > 1, True):
            try:
                self._write(run_id, records, files)
                return
            except Exception as error:
                if not is_rejection(error):
                    raise
                if not is_active(self.client, run_id):
                    raise RunLostError("the store has lost its run") from error
                if last:
                    raise RejectedError(str(error)) from error
                if not is_writable(self.client, run_id):
                    raise

    def _write(self, run_id: str, records: Sequence[Record], files: Path) -> None:
        if records[0]["kind"] == "metrics":
            points = [
                Metric(key, value, record["time"], record["step"])
                for record in records
                for key, value in record["values"].items()
            ]
            self.client.log_batch(run_id, points)
            return
        for record in records:
            found = [files / name for name in record.get("files", ())]
            with upload_timeout(*found):
                self._write_one(run_id, record, found)

    def _write_one(self, run_id: str, record: Record, files: list[Path]) -> None:
        match record["kind"]:
            case "params":
                self._params(run_id, record["values"])
            case "tags":
                tags = [RunTag(*each) for each in record["values"].items()]
                self.client.log_batch(run_id, tags=tags)
            case "image":
                self._image(run_id, record, *files)
            case "artifact":
                folder = record["key"].rpartition("/")[0]
                self.client.log_artifact(run_id, str(files[0]), folder or None)
            case "dataset":
                self._dataset(run_id, record)
            case "links":
                link_stages(self.client, run_id)
            case "model":
                log_model(self.client, run_id, *files)
            case "resume":
                self.client.update_run(run_id, "RUNNING")
            case "end":
                self.client.set_terminated(run_id, record["status"], record["time"])

    def _params(self, run_id: str, values: Mapping[str, str]) -> None:
        """Log new params; MLflow refuses to change one, so a changed one becomes a tag."""
        known = self.client.get_run(run_id).data.params
        new = [Param(key, value) for key, value in values.items() if key not in known]
        changed = [(key, value) for key, value in values.items() if known.get(key, value) != value]
        tags = [RunTag(f"changed.{key}", value) for key, value in changed]
        self.client.log_batch(run_id, params=new, tags=tags)

    def _image(self, run_id: str, record: Record, file: Path) -> None:
        """Log unless the run has it: MLflow puts a random part into the names of images."""
        key, step, when = record["key"], record["step"], record["time"]
        start = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{when}+"
        logged = [each.path for each in self.client.list_artifacts(run_id, "images")]
        if not any(path.startswith(start) and path.endswith(".webp") for path in logged):
            self.client.log_image(
                run_id, open_verbatim(file), key=key, step=step, timestamp=when, synchronous=True
            )

    def _dataset(self, run_id: str, record: Record) -> None:
        try:
            source: dict[str, Any] = dict(json.loads(record["source"]))
            listed = dict(source.pop("columns", {})).items()
        except (ValueError, TypeError) as error:
            raise RejectedError(f"source of the dataset: {error}") from error
        columns = [{"name": key, "type": value} for key, value in listed]
        url = source_url(source)
        dataset = Dataset(
            record["name"],
            record["key"],
            source_type="http" if url else "dvc",
            source=json.dumps(source | url, sort_keys=True),
            schema=json.dumps({"mlflow_colspec": columns}) if columns else None,
            profile=record["profile"],
        )
        context = [InputTag("mlflow.data.context", "training")]
        self.client.log_inputs(run_id, [DatasetInput(dataset, context)])
