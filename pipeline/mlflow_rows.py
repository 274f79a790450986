"""Reading trainings back from the MLflow store: rows, files, copies of files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.mlflow_store import MlflowStore


@dataclass(frozen=True)
class StoredRun:
    """A training's row as it is read. started: milliseconds since 1970; metrics: latest values."""

    run_id: str
    name: str
    started: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def _read(row: Any) -> StoredRun:
    info, data = row.info, row.data
    name = info.run_name or info.run_id
    return StoredRun(info.run_id, name, info.start_time or 0, data.tags, data.params, data.metrics)


class MlflowRows(MlflowStore):
    """The store as somebody reads it who asks for runs."""

    def trainings(self, condition: str, most: int) -> list[StoredRun]:
        """Rows with a run key in any experiment that fit MLflow's filter, newest first."""
        every = [each.experiment_id for each in self._client.search_experiments()]
        fit = " AND ".join(["tags.run_key LIKE '_%'", *([condition] if condition else [])])
        rows = self._client.search_runs(every, fit, order_by=["start_time DESC"], max_results=most)
        return [_read(row) for row in rows]

    def files(self, run_id: str, folder: str) -> dict[str, int]:
        """Paths of the files in a folder of a row's artefacts, with their bytes; {} if none."""
        found = self._client.list_artifacts(run_id, folder)
        return {each.path: each.file_size or 0 for each in found if not each.is_dir}

    def last_step(self, run_id: str, keys: Sequence[str]) -> int | None:
        """The greatest step at which one of these metrics was logged; None if none was."""
        steps = [
            point.step for key in keys for point in self._client.get_metric_history(run_id, key)
        ]
        return max(steps, default=None)

    def download(self, run_id: str, file: str, into: Path) -> Path:
        """Copy an artefact into a folder that exists; returns the copy."""
        return Path(self._client.download_artifacts(run_id, file, str(into)))
