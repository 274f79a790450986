"""A evaluation on the tracker's row of the training that its checkpoint comes from."""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.checkpoints import Origin
from gan.params.evaluation import EvaluateParams
from pipeline.evaluation.evaluate_subject import Evaluation
from pipeline.evaluation.outputs import write_folder
from pipeline.evaluation.references import is_other_data
from pipeline.evaluation.subject import CheckpointSubject
from pipeline.paths import Paths
from pipeline.tracking import rows as tracking


def log_best(evaluation: Evaluation, settings: EvaluateParams, paths: Paths) -> None:
    """The stage's numbers, curve and pictures become the row's own."""
    subject = evaluation.subject
    assert isinstance(subject, CheckpointSubject)
    row = _open(subject.origin, settings, paths)
    add_best(row, evaluation.result, paths.reports, subject.path)
    row.flush()
    row.tidy()


def add_best(row: tracking.Run, result: Mapping[str, Any], reports: Path, snapshot: Path) -> None:
    """Hand over what the stage wrote: its result, the files in `reports`, the best snapshot."""
    selection = result["selection"]
    curve = selection["curve"]  # empty where there were too few images to choose by
    for seen, distance in curve:
        row.metrics({f"selection/{selection['key']}": distance}, seen)
    # all at the end of the training: MLflow's table shows the value of the latest step, and a
    # later evaluation may choose an earlier snapshot
    last = curve[-1][0] if curve else selection["best"]
    row.metrics({"best_images_seen": selection["best"]}, last)
    _add(row, result["metrics"], last)
    for key in ("best", "closest", "interpolation"):
        row.image(key, reports / f"{key}.png", last)
    for name in ("evaluation.json", "report.html"):
        row.artifact(reports / name, "evaluation")
    row.artifact(snapshot, "best")
    row.links()
    tracking.add_model(row, snapshot, result)


@dataclass(frozen=True)
class Own:
    """Numbers that become those of a training's row itself.

    run_id: the row, None for the newest of the run key. last_step: the greatest that is on it;
    MLflow's table shows the value of the latest step.
    """

    run_id: str | None
    last_step: int | None


def log_one(
    evaluation: Evaluation,
    subject: CheckpointSubject,
    settings: EvaluateParams,
    paths: Paths,
    own: Own | None = None,
) -> None:
    """Numbers of one checkpoint; those of other data are no numbers of that run.

    Unless they become the row's own they have names apart, `checkpoint/...`, since the row's are
    those of its best snapshot.
    """
    if any(is_other_data(tag) for tag in evaluation.result["references"]):
        return
    seen = subject.origin.images_seen
    row = _open(subject.origin, settings, paths, own.run_id if own else None)
    if own:
        step = max(seen, own.last_step or 0)
        row.metrics({"best_images_seen": seen}, step)
        _add(row, evaluation.result["metrics"], step)
        with tempfile.TemporaryDirectory() as folder:
            write_folder(evaluation, None, Path(folder))
            row.image("closest", Path(folder) / "closest.png", step)
            for name in ("evaluation.json", "report.html"):
                row.artifact(Path(folder) / name, "evaluation")
    else:
        row.metrics({f"checkpoint/{key}": v for key, v in evaluation.metrics.items()}, seen)
    row.flush()
    row.tidy()


def _add(row: tracking.Run, measured: Mapping[str, Any], step: int) -> None:
    row.metrics({key: each["value"] for key, each in measured.items()}, step)
    # NaN where there is none now: what an earlier evaluation had must not stay beside new values
    spread = {key: each["deviation"] for key, each in measured.items()}
    row.metrics(
        {f"deviation/{key}": math.nan if d is None else d for key, d in spread.items()}, step
    )
    row.tags({"protocols": json.dumps({k: each["protocol"] for k, each in measured.items()})})


def _open(
    origin: Origin, settings: EvaluateParams, paths: Paths, run_id: str | None = None
) -> tracking.Run:
    return tracking.attach(
        paths,
        experiment=tracking.experiment_name(),
        run_key=origin.run_key,
        name=origin.name,
        params={**_decided(origin), "evaluate": settings.model_dump()},
        tags={"cache_digest": origin.cache_digest},
        run_id=run_id,
    )


def _decided(origin: Origin) -> dict[str, object]:
    """Hyperparameters for a row that the training itself did not make."""
    decided = origin.lineage.get("decided", {})
    train = {"train": decided["train"] | {"images": decided["images"]}} if decided else {}
    return {"model": origin.model, **train}
