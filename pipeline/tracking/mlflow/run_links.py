"""Links between MLflow runs that share data: scrape, preprocess, reference and the trainings.

Runs are found by digests, so it does not matter which came first or who made it. The links are
worked out from the store each time: to link twice changes nothing, and two trainings that link at
once lose nothing.
"""

import re
from collections.abc import Iterable
from typing import Any

from pipeline.tracking.descriptions import DESCRIPTION

SHARED = {"scrape": "snapshot_digest", "preprocess": "cache_digest", "reference": "cache_digest"}
"""Tag that the run of a stage shares with the trainings that used its result."""

MOST = 20
"""Trainings that a stage's run names: the newest."""

UNWRITABLE = (
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "PERMISSION_DENIED",
)
"""Error codes for a run that was deleted, or that belongs to another user."""

BLOCK = re.compile(r"\n\n(?:Came from|Led to): (?:\[[^\n]*\]\(#/experiments/[^\n)]*\)(?:, )?)+")
"""Links that earlier calls put into a description; text that a person wrote around them stays."""


def link_stages(client: Any, run_id: str) -> None:
    """Tag a training with the newest runs of the stages before it, and these with the training.

    A stage's run is linked with the trainings that have no run of that stage yet. A run that is
    deleted meanwhile is left out.
    """
    run = client.get_run(run_id)
    stage = run.data.tags.get("stage")
    if stage in SHARED:
        _link_earlier_trainings(client, run, stage)
    else:
        _link_training(client, run)


def _link_earlier_trainings(client: Any, run: Any, stage: str) -> None:
    """Link trainings that began before the stage ran, as of a reference measured later."""
    digest = run.data.tags.get(SHARED[stage])
    for training in _search(client, "%", f"{SHARED[stage]} = '{digest}'") if digest else ():
        if f"{stage}_run_id" not in training.data.tags and "run_key" in training.data.tags:
            _link_training(client, training)


def _link_training(client: Any, training: Any) -> None:
    stages = {name: run for name in SHARED if (run := _stage_of(client, training, name))}
    if not stages:
        return
    tags = {f"{name}_run_id": run.info.run_id for name, run in stages.items()}
    _write_links(client, training, "Came from", stages.values(), tags)
    for name, run in stages.items():
        _link_to_trainings(client, run, f"{name}_run_id = '{run.info.run_id}'")


def _stage_of(client: Any, training: Any, stage: str) -> Any | None:
    """Newest run of a stage that made the training's data; None if there is none."""
    digest = training.data.tags.get(SHARED[stage])
    if not digest:
        return None
    condition = f"stage = '{stage}' AND tags.{SHARED[stage]} = '{digest}'"
    return next(iter(_search(client, "%-stages", condition, 1)), None)


def _search(client: Any, experiments: str, tag: str, most: int = MOST) -> list[Any]:
    """Search for the newest runs, in all experiments with a name of this pattern."""
    ids = [
        each.experiment_id
        for each in client.search_experiments(filter_string=f"name LIKE '{experiments}'")
    ]
    if not ids:
        return []
    order = ["start_time DESC"]
    return list(client.search_runs(ids, f"tags.{tag}", order_by=order, max_results=most))


def _link_to_trainings(client: Any, stage: Any, tag: str) -> None:
    """Link a stage's run to its trainings, until no other process has added one meanwhile."""
    before: list[str] = []
    for _ in range(3):
        trainings = _search(client, "%", tag)[::-1]
        ids = [each.info.run_id for each in trainings]
        if ids == before:
            return
        _write_links(client, stage, "Led to", trainings, {"trainings": ",".join(ids)})
        before = ids


def _write_links(
    client: Any, run: Any, heading: str, others: Iterable[Any], tags: dict[str, str]
) -> None:
    from mlflow.entities import RunTag
    from mlflow.exceptions import MlflowException

    text = BLOCK.sub("", run.data.tags.get(DESCRIPTION, ""))
    links = {DESCRIPTION: f"{text}\n\n{heading}: {', '.join(map(_markdown_link, others))}"}
    new = [RunTag(key, value) for key, value in (tags | links).items()]
    try:
        client.log_batch(run.info.run_id, tags=new)
    except MlflowException as error:
        if error.error_code not in UNWRITABLE:
            raise


def _markdown_link(run: Any) -> str:
    info = run.info
    name = re.sub(r"[\[\]\n]", " ", info.run_name or info.run_id)
    return f"[{name}](#/experiments/{info.experiment_id}/runs/{info.run_id})"
