"""Results of an evaluation, logged onto the MLflow run of the training they belong to."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from gan.params.evaluation import EvaluateParams
from pipeline.evaluation.evaluate_subject import Evaluation
from pipeline.evaluation.references import is_other_data
from pipeline.evaluation.result import EvaluationResult
from pipeline.evaluation.subject import CheckpointSubject
from pipeline.paths import Paths
from pipeline.tracking.model.card import log_model_with_card
from pipeline.tracking.open_run import attach_to_run
from pipeline.tracking.run import Run


def log_best(evaluation: Evaluation, settings: EvaluateParams, paths: Paths) -> None:
    """Log the stage's metrics, selection curve and pictures as the run's own."""
    subject = evaluation.subject
    assert isinstance(subject, CheckpointSubject)
    run = attach_to_run(paths, subject.origin, params={"evaluate": settings.model_dump()})
    add_best(run, evaluation.result, paths.reports, subject.path)
    run.flush()


def add_best(run: Run, result: EvaluationResult, reports: Path, snapshot: Path) -> None:
    """Record the stage's result, its files in `reports` and the best snapshot."""
    selection = result.selection
    assert selection is not None
    curve = selection.curve  # empty where there were too few images to choose by
    for seen, distance in curve:
        run.metrics({f"selection/{selection.key}": distance}, seen)
    # all at the end of the training: MLflow's table shows the value of the latest step, and a
    # later evaluation may choose an earlier snapshot
    last = curve[-1][0] if curve else selection.best
    _add_result(run, result, reports, selection.best, last)
    for key in ("best", "interpolation"):
        run.image(key, reports / f"{key}.png", last)
    run.artifact(snapshot, "best")
    run.links()
    log_model_with_card(run, snapshot, result.model_dump())


@dataclass(frozen=True)
class Own:
    """Target of metrics that become those of the training's run itself.

    run_id: MLflow's, None for the newest run of the run key. last_step: the greatest that the run
    has; MLflow's table shows the value of the latest step.
    """

    run_id: str | None
    last_step: int | None


def log_one(
    evaluation: Evaluation,
    subject: CheckpointSubject,
    settings: EvaluateParams,
    paths: Paths,
    folder: Path,
    own: Own | None = None,
) -> None:
    """Log the metrics of one checkpoint, unless they were measured against other data.

    Without `own` their names begin with `checkpoint/`, since the run's own metrics are those of
    its best snapshot. folder: with the files of the evaluation, if there is `own`.
    """
    if any(is_other_data(tag) for tag in evaluation.result.references):
        return
    seen = subject.origin.images_seen
    evaluate = {"evaluate": settings.model_dump()}
    run = attach_to_run(paths, subject.origin, own.run_id if own else None, evaluate)
    if own:
        _add_result(run, evaluation.result, folder, seen, max(seen, own.last_step or 0))
    else:
        run.metrics({f"checkpoint/{key}": v for key, v in evaluation.metrics.items()}, seen)
    run.flush()


def _add_result(run: Run, result: EvaluationResult, folder: Path, seen: int, step: int) -> None:
    numbers: dict[str, float] = {"best_images_seen": seen}
    for key, each in result.metrics.items():
        # NaN where there is none now: an earlier evaluation's must not stay beside the new values
        spread = math.nan if each.deviation is None else each.deviation
        numbers |= {key: each.value, f"deviation/{key}": spread}
    run.metrics(numbers, step)
    protocols = {key: each.protocol for key, each in result.metrics.items()}
    run.tags({"protocols": json.dumps(protocols)})
    run.image("closest", folder / "closest.png", step)
    for name in ("evaluation.json", "report.html"):
        run.artifact(folder / name, "evaluation")
