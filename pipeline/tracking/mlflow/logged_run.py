"""Content of a training's MLflow run, to be compared with the outs of DVC."""

import re
import time
from collections.abc import Iterator
from typing import Any

from pipeline.tracking.mlflow.store import MlflowStore
from pipeline.tracking.run_folder.folder import Fact

ALIVE_MS = 15 * 60 * 1000
"""A run with status RUNNING and a point younger than this may still be written to."""

IMAGE = re.compile(r"images/([^+]+)\+step\+(\d+)\+.*\.webp")
"""Artefact of an image; of its two files the one in WebP is written last."""


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


def read_run(store: MlflowStore, run_key: str, experiment: str) -> LoggedRun | None:
    """Read the newest run of a run key; one under way comes last."""
    runs = store.find_runs("run_key", run_key, experiment)
    return LoggedRun(store.client, min(runs, key=_is_alive)) if runs else None


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
    for folder in client.list_artifacts(run_id):
        for file in client.list_artifacts(run_id, folder.path) if folder.is_dir else ():
            yield "artifact", file.path, None
            if image := IMAGE.fullmatch(file.path):
                yield "image", image[1].replace("~", "/"), int(image[2])


def _is_alive(run: Any) -> bool:
    last = max([run.info.start_time or 0, *(point.timestamp for point in run.data._metric_objs)])
    return bool(run.info.status == "RUNNING" and last > time.time() * 1000 - ALIVE_MS)
