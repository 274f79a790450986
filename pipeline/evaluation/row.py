"""A judgement on the tracker's row of the training that its checkpoint comes from."""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gan.checkpoints import Origin
from gan.params import Params
from pipeline import tracking
from pipeline.evaluation.judging import Judgement
from pipeline.evaluation.panel import is_other
from pipeline.evaluation.subject import CheckpointSubject
from pipeline.evaluation.writing import write_folder
from pipeline.paths import Paths


def log_best(
    judgement: Judgement, subject: CheckpointSubject, params: Params, paths: Paths
) -> None:
    """The stage's numbers, curve and pictures become the row's own."""
    selection = judgement.result["selection"]
    row = _open(subject.origin, params, paths)
    for seen, distance in selection["curve"]:
        row.metrics({f"selection/{selection['key']}": distance}, seen)
    # all at the end of the training: MLflow's table shows the value of the latest step, and a
    # later evaluation may choose an earlier snapshot
    last = selection["curve"][-1][0]
    row.metrics({"best_images_seen": selection["best"]}, last)
    _add(row, judgement, last)
    row.image("best", paths.reports / "best.png", last)
    row.image("closest", paths.reports / "closest.png", last)
    for name in ("evaluation.json", "report.html"):
        row.artifact(paths.reports / name, "evaluation")
    row.artifact(subject.path, "best")
    row.flush()
    row.tidy()


@dataclass(frozen=True)
class Own:
    """Numbers that become those of a training's row itself.

    run_id: the row, None for the newest of the run key. last_step: the greatest that is on it;
    MLflow's table shows the value of the latest step.
    """

    run_id: str | None
    last_step: int | None


def log_one(
    judgement: Judgement,
    subject: CheckpointSubject,
    params: Params,
    paths: Paths,
    own: Own | None = None,
) -> None:
    """Numbers of one checkpoint; those of other data are no numbers of that run.

    Unless they become the row's own they have names apart, `checkpoint/...`, since the row's are
    those of its best snapshot.
    """
    if any(is_other(tag) for tag in judgement.result["references"]):
        return
    seen = subject.origin.images_seen
    row = _open(subject.origin, params, paths, own.run_id if own else None)
    if own:
        step = max(seen, own.last_step or 0)
        row.metrics({"best_images_seen": seen}, step)
        _add(row, judgement, step)
        with tempfile.TemporaryDirectory() as folder:
            write_folder(judgement, None, Path(folder))
            row.image("closest", Path(folder) / "closest.png", step)
            for name in ("evaluation.json", "report.html"):
                row.artifact(Path(folder) / name, "evaluation")
    else:
        row.metrics({f"checkpoint/{key}": v for key, v in judgement.metrics.items()}, seen)
    row.flush()
    row.tidy()


def _add(row: tracking.Run, judgement: Judgement, step: int) -> None:
    row.metrics(judgement.metrics, step)
    # NaN where there is none now: what an earlier evaluation had must not stay beside new values
    spread = {f"deviation/{key}": judgement.spread.get(key, math.nan) for key in judgement.metrics}
    row.metrics(spread, step)
    protocols = {key: each["protocol"] for key, each in judgement.result["metrics"].items()}
    row.tags({"protocols": json.dumps(protocols)})


def _open(origin: Origin, params: Params, paths: Paths, run_id: str | None = None) -> tracking.Run:
    return tracking.attach(
        paths,
        experiment=tracking.experiment_name(),
        run_key=origin.run_key,
        name=origin.name,
        params={"model": origin.model, "evaluate": params.evaluate.model_dump()},
        tags={"cache_digest": origin.cache_digest},
        run_id=run_id,
    )
