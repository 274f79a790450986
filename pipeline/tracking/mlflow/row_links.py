"""Rows that share data name each other: scrape, preprocess, reference and the trainings.

All is found by digests, so it does not matter which row came first or who made it. What a row is
told is worked out from the store each time: to link twice changes nothing, and two trainings that
link at once lose nothing.
"""

import re
from collections.abc import Iterable
from typing import Any

from pipeline.tracking.descriptions import DESCRIPTION

SHARED = {"scrape": "snapshot_digest", "preprocess": "cache_digest", "reference": "cache_digest"}
"""What a stage's row has in common with the trainings that came of it."""

MOST = 20
"""Trainings that a stage's row names: the newest."""

NOT_FOR_US = (
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "PERMISSION_DENIED",
)
"""What a store says of a row that somebody deleted, or that is somebody else's."""

BLOCK = re.compile(r"\n\n(?:Came from|Led to): (?:\[[^\n]*\]\(#/experiments/[^\n)]*\)(?:, )?)+")
"""What earlier calls put into a description; what a person wrote around it stays."""


def link(client: Any, row_id: str) -> None:
    """Tag a training with the newest rows of the stages before it, and these with the training.

    A stage's row is linked with the trainings that lack one of its kind. A row that goes away
    meanwhile is left out.
    """
    row = client.get_run(row_id)
    stage = row.data.tags.get("stage")
    if stage in SHARED:
        _link_waiting(client, row, stage)
    else:
        _link_training(client, row)


def _link_waiting(client: Any, row: Any, stage: str) -> None:
    """A reference that was measured after a training began, say."""
    digest = row.data.tags.get(SHARED[stage])
    for training in _found(client, "%", f"{SHARED[stage]} = '{digest}'") if digest else ():
        if f"{stage}_run_id" not in training.data.tags and "run_key" in training.data.tags:
            _link_training(client, training)


def _link_training(client: Any, row: Any) -> None:
    stages = {stage: found for stage in SHARED if (found := _stage_row(client, row, stage))}
    if not stages:
        return
    tags = {f"{stage}_run_id": found.info.run_id for stage, found in stages.items()}
    _tell(client, row, "Came from", stages.values(), tags)
    for stage, found in stages.items():
        _tell_trainings(client, found, f"{stage}_run_id = '{found.info.run_id}'")


def _stage_row(client: Any, row: Any, stage: str) -> Any | None:
    digest = row.data.tags.get(SHARED[stage])
    if not digest:
        return None
    wanted = f"stage = '{stage}' AND tags.{SHARED[stage]} = '{digest}'"
    return next(iter(_found(client, "%-stages", wanted, 1)), None)


def _found(client: Any, experiments: str, tag: str, most: int = MOST) -> list[Any]:
    """The newest rows, in all experiments with such a name."""
    ids = [
        each.experiment_id
        for each in client.search_experiments(filter_string=f"name LIKE '{experiments}'")
    ]
    if not ids:
        return []
    order = ["start_time DESC"]
    return list(client.search_runs(ids, f"tags.{tag}", order_by=order, max_results=most))


def _tell_trainings(client: Any, found: Any, tag: str) -> None:
    """Name a stage's trainings on its row, until no other process has added one meanwhile."""
    before: list[str] = []
    for _ in range(3):
        trainings = _found(client, "%", tag)[::-1]
        ids = [each.info.run_id for each in trainings]
        if ids == before:
            return
        _tell(client, found, "Led to", trainings, {"trainings": ",".join(ids)})
        before = ids


def _tell(client: Any, row: Any, word: str, others: Iterable[Any], tags: dict[str, str]) -> None:
    from mlflow.entities import RunTag
    from mlflow.exceptions import MlflowException

    text = BLOCK.sub("", row.data.tags.get(DESCRIPTION, ""))
    told = tags | {DESCRIPTION: f"{text}\n\n{word}: {', '.join(map(_link_to, others))}"}
    try:
        client.log_batch(row.info.run_id, tags=[RunTag(key, value) for key, value in told.items()])
    except MlflowException as error:
        if error.error_code not in NOT_FOR_US:
            raise


def _link_to(row: Any) -> str:
    info = row.info
    name = re.sub(r"[\[\]\n]", " ", info.run_name or info.run_id)
    return f"[{name}](#/experiments/{info.experiment_id}/runs/{info.run_id})"
