"""Content of a training's MLflow run, to be compared with the outs of DVC."""

import time
from collections.abc import Iterator
from typing import Any

from pipeline.tracking.run_folder.folder import Fact

ALIVE_MS = 15 * 60 * 1000
"""A run with status RUNNING and a point younger than this may still be written to."""

FOLDERS = ("best", "checkpoints", "evaluation", "lineage")


class LoggedRun:
    """Content of a run. known: its parts. alive: a process may be writing to it.

    started, ended: milliseconds since 1970.
    """

    def __init__(self, client: Any, run: Any) -> None:
        self.run_id, self.status = str(run.info.run_id), str(run.info.status)
        self.started: int = run.info.start_time or 0
        self.ended: int | None = run.info.end_time
        self.tags: dict[str, str] = dict(run.data.tags)
        self.alive = _is_alive(run)
        self.known = frozenset(_list_known(client, run))


def read_run(client: Any, run_key: str, experiment: str) -> LoggedRun | None:
    """Read the newest run of a run key; one under way comes last.

    Searched for as `attach_to_run` does: in the experiment, else in any.
    """
    run = _search(client, run_key, experiment)
    return LoggedRun(client, run) if run else None


def _search(client: Any, run_key: str, experiment: str) -> Any:
    every = client.search_experiments()
    own = [each.experiment_id for each in every if each.name == experiment]
    for ids in (own, [each.experiment_id for each in every]):
        runs = client.search_runs(ids, f"tags.run_key = '{run_key}'", order_by=["start_time DESC"])
        if ids and runs:
            return min(runs, key=_is_alive)  # the first of equals
    return None


def _list_known(client: Any, run: Any) -> Iterator[Fact]:
    run_id = run.info.run_id
    yield "links", "", None
    for kind, keys in (("params", run.data.params), ("tags", run.data.tags)):
        yield from ((kind, key, None) for key in keys)
    for each in run.inputs.dataset_inputs:
        yield "dataset", each.dataset.digest, None
    for key in run.data.metrics:
        if not key.startswith("system/"):
            points = client.get_metric_history(run_id, key)
            yield from (("metrics", key, point.step) for point in points)
    for folder in FOLDERS:
        for file in client.list_artifacts(run_id, folder):
            yield "artifact", file.path, None
    for file in client.list_artifacts(run_id, "images"):
        # KEY+step+STEP+timestamp+...; of its two files the one in WebP is written last
        key, *rest = file.path.removeprefix("images/").split("+")
        if file.path.endswith(".webp") and len(rest) > 1 and rest[1].isdecimal():
            yield "image", key.replace("~", "/"), int(rest[1])


def _is_alive(run: Any) -> bool:
    last = max([run.info.start_time or 0, *(point.timestamp for point in run.data._metric_objs)])
    return bool(run.info.status == "RUNNING" and last > time.time() * 1000 - ALIVE_MS)
