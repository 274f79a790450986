"""Content of a training's MLflow run, to be compared with the outs of DVC."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.tracking.mlflow.writer import MlflowWriter

ALIVE_MS = 15 * 60 * 1000
"""A run with status RUNNING and a point younger than this may still be written to."""


@dataclass(frozen=True)
class LoggedRun:
    """Content of a run. points: values by metric and step; images: (key, step) of pictures.

    alive: a process may be writing to it. started, ended: milliseconds since 1970.
    """

    run_id: str
    status: str
    alive: bool
    started: int
    ended: int | None
    params: frozenset[str]
    tags: Mapping[str, str]
    datasets: frozenset[str]
    points: Mapping[str, Mapping[int, float]] = field(repr=False)
    files: frozenset[str]
    images: frozenset[tuple[str, int]]


class SyncStore(MlflowWriter):
    """Store opened for `gan sync`, which reads runs and writes to them."""

    def read_run(self, run_key: str, experiment: str, keys: Sequence[str]) -> LoggedRun | None:
        """Read the newest run of a run key, with these metrics; one under way comes last.

        Searched for as `attach_to_run` does: in the experiment, else in any.
        """
        run = self._search(run_key, experiment)
        return None if run is None else self._read(run, keys)

    def _search(self, run_key: str, experiment: str) -> Any:
        every = self.client.search_experiments()
        own = [each.experiment_id for each in every if each.name == experiment]
        for ids in (own, [each.experiment_id for each in every]):
            runs = self.client.search_runs(
                ids, f"tags.run_key = '{run_key}'", order_by=["start_time DESC"]
            )
            if ids and runs:
                return min(runs, key=_is_alive)  # the first of equals
        return None

    def _read(self, run: Any, keys: Sequence[str]) -> LoggedRun:
        info, data, run_id = run.info, run.data, run.info.run_id
        return LoggedRun(
            run_id=run_id,
            status=info.status,
            alive=_is_alive(run),
            started=info.start_time or 0,
            ended=info.end_time,
            params=frozenset(data.params),
            tags=dict(data.tags),
            datasets=frozenset(each.dataset.digest for each in run.inputs.dataset_inputs),
            points={key: self._points(run_id, key) for key in keys if key in data.metrics},
            files=frozenset(
                path
                for folder in ("best", "checkpoints", "evaluation")
                for path in self._files(run_id, folder)
            ),
            images=frozenset(
                image for path in self._files(run_id, "images") if (image := _parse_image(path))
            ),
        )

    def _points(self, run_id: str, key: str) -> dict[int, float]:
        """Values by step; of several at one step the last."""
        history = self.client.get_metric_history(run_id, key)
        ordered = sorted(history, key=lambda point: (point.step, point.timestamp))
        return {point.step: point.value for point in ordered}

    def _files(self, run_id: str, folder: str) -> list[str]:
        return [each.path for each in self.client.list_artifacts(run_id, folder)]


def _is_alive(run: Any) -> bool:
    last = max([run.info.start_time or 0, *(point.timestamp for point in run.data._metric_objs)])
    return bool(run.info.status == "RUNNING" and last > time.time() * 1000 - ALIVE_MS)


def _parse_image(path: str) -> tuple[str, int] | None:
    """Parse key and step of images/KEY+step+STEP+timestamp+...webp, which is written last."""
    key, *rest = path.removeprefix("images/").split("+")
    if len(rest) < 2 or not path.endswith(".webp") or not rest[1].isdecimal():
        return None
    return key.replace("~", "/"), int(rest[1])
