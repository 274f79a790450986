"""Content of a training's MLflow run, to be compared with the outs of DVC."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.tracking.mlflow.writer import MlflowWriter
from pipeline.tracking.run_folder.folder import Fact

ALIVE_MS = 15 * 60 * 1000
"""A run with status RUNNING and a point younger than this may still be written to."""


@dataclass(frozen=True)
class LoggedRun:
    """Content of a run. points: values by metric and step; known: its parts, but for the points.

    alive: a process may be writing to it. started, ended: milliseconds since 1970.
    """

    run_id: str
    status: str
    alive: bool
    started: int
    ended: int | None
    tags: Mapping[str, str]
    points: Mapping[str, Mapping[int, float]] = field(repr=False)
    known: frozenset[Fact] = field(repr=False)


class SyncStore(MlflowWriter):
    """Store opened for `gan sync`, which reads runs and writes to them."""

    def read_run(self, run_key: str, experiment: str, keys: Sequence[str]) -> LoggedRun | None:
        """Read the newest run of a run key, with these metrics; one under way comes last.

        Searched for as `attach_to_run` does: in the experiment, else in any.
        """
        run = self._search(run_key, experiment)
        if run is None:
            return None
        info, data, run_id = run.info, run.data, run.info.run_id
        return LoggedRun(
            run_id,
            info.status,
            _is_alive(run),
            info.start_time or 0,
            info.end_time,
            dict(data.tags),
            {key: self._points(run_id, key) for key in keys if key in data.metrics},
            frozenset(self._list_known(run)),
        )

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

    def _points(self, run_id: str, key: str) -> dict[int, float]:
        """Values by step; of several at one step the last."""
        history = self.client.get_metric_history(run_id, key)
        ordered = sorted(history, key=lambda point: (point.step, point.timestamp))
        return {point.step: point.value for point in ordered}

    def _list_known(self, run: Any) -> Iterator[Fact]:
        yield "links", "", None
        yield from (("params", key, None) for key in run.data.params)
        yield from (("tags", key, None) for key in run.data.tags)
        for each in run.inputs.dataset_inputs:
            yield "dataset", each.dataset.digest, None
        for folder in ("best", "checkpoints", "evaluation", "lineage"):
            for file in self.client.list_artifacts(run.info.run_id, folder):
                yield "artifact", file.path, None
        for key, step in list_images(self.client, run.info.run_id):
            yield "image", key, step


def list_images(client: Any, run_id: str) -> set[tuple[str, int]]:
    """Key and step of the run's images, named KEY+step+STEP+timestamp+...

    Of their two files the one in WebP is written last.
    """
    parts = [
        file.path.removeprefix("images/").split("+")
        for file in client.list_artifacts(run_id, "images")
        if file.path.endswith(".webp")
    ]
    return {
        (key.replace("~", "/"), int(rest[1]))
        for key, *rest in parts
        if len(rest) > 1 and rest[1].isdecimal()
    }


def _is_alive(run: Any) -> bool:
    last = max([run.info.start_time or 0, *(point.timestamp for point in run.data._metric_objs)])
    return bool(run.info.status == "RUNNING" and last > time.time() * 1000 - ALIVE_MS)
