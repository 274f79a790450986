"""What a training's row in the MLflow store holds already, to be compared with files."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.tracking.mlflow.writer import MlflowReceiver

ALIVE_MS = 15 * 60 * 1000
"""A row that says it is running and got a point later than this ago is taken at its word."""


@dataclass(frozen=True)
class Contents:
    """A row. points: values by metric and step; started, ended: milliseconds since 1970.

    images: (key, step) of pictures; alive: a process may be writing to it.
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


class MlflowContents(MlflowReceiver):
    """The store as `gan sync` reads it and writes to it."""

    def of(self, run_key: str, experiment: str, keys: Sequence[str]) -> Contents | None:
        """The newest row of a run key that is no training under way, with these metrics.

        As `attach` looks for it: in the experiment, else in any.
        """
        row = self._row(run_key, experiment)
        return None if row is None else self._contents(row, keys)

    def _row(self, run_key: str, experiment: str) -> Any:
        every = self._client.search_experiments()
        own = [each.experiment_id for each in every if each.name == experiment]
        for places in (own, [each.experiment_id for each in every]):
            found = self._client.search_runs(
                places, f"tags.run_key = '{run_key}'", order_by=["start_time DESC"]
            )
            if places and found:
                return min(found, key=_alive)  # the first of equals
        return None

    def _contents(self, row: Any, keys: Sequence[str]) -> Contents:
        info, data, run_id = row.info, row.data, row.info.run_id
        return Contents(
            run_id=run_id,
            status=info.status,
            alive=_alive(row),
            started=info.start_time or 0,
            ended=info.end_time,
            params=frozenset(data.params),
            tags=dict(data.tags),
            datasets=frozenset(each.dataset.digest for each in row.inputs.dataset_inputs),
            points={key: self._points(run_id, key) for key in keys if key in data.metrics},
            files=frozenset(
                path
                for folder in ("best", "checkpoints", "evaluation")
                for path in self._files(run_id, folder)
            ),
            images=frozenset(
                image for path in self._files(run_id, "images") if (image := _image(path))
            ),
        )

    def _points(self, run_id: str, key: str) -> dict[int, float]:
        """By step; of several at one step the last."""
        history = self._client.get_metric_history(run_id, key)
        ordered = sorted(history, key=lambda point: (point.step, point.timestamp))
        return {point.step: point.value for point in ordered}

    def _files(self, run_id: str, folder: str) -> list[str]:
        return [each.path for each in self._client.list_artifacts(run_id, folder)]


def _alive(row: Any) -> bool:
    last = max([row.info.start_time or 0, *(point.timestamp for point in row.data._metric_objs)])
    return bool(row.info.status == "RUNNING" and last > time.time() * 1000 - ALIVE_MS)


def _image(path: str) -> tuple[str, int] | None:
    """Key and step of images/KEY+step+STEP+timestamp+...webp, which is written last."""
    key, *rest = path.removeprefix("images/").split("+")
    if len(rest) < 2 or not path.endswith(".webp") or not rest[1].isdecimal():
        return None
    return key.replace("~", "/"), int(rest[1])
