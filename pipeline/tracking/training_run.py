"""Tracker of a training: an MLflow run that a killed training continues."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.paths import Paths
from pipeline.tracking import run_times
from pipeline.tracking.descriptions import describe_training
from pipeline.tracking.open_run import new_folder, start_run
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import RunFolder, read_state, runs_folder
from pipeline.training.identity import resume_key
from pipeline.training.tracker import Tracker

if TYPE_CHECKING:
    from pipeline.training.plan import Plan


class MlflowTracker(Tracker):
    """Tracker that records MLflow runs.

    Until `finish`, called when the stage has returned, a training that resumes belongs to the same
    MLflow run.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._run: Run | None = None
        self._run_key = ""

    def finish(self) -> None:
        """Remove the local records if MLflow has them all: the outs are in place."""
        if self._run is not None:
            self._run.remove_if_sent()
            run_times.finish(self._paths, self._run_key)

    def open(self, plan: "Plan", images_seen: int) -> Run:
        run_times.begin(self._paths, plan.run_key)
        self._run_key = plan.run_key
        run = self._run = start_run(
            self._paths,
            name=plan.name,
            run_key=plan.run_key,
            folder=_choose_folder(self._paths, plan.run_key, images_seen),
            progress=resume_key(plan.identity),
            resumed_from=images_seen,
        )
        describe_training(run, plan.lineage)
        run.tags(plan.environment)
        run.links()
        return run


def _choose_folder(paths: Paths, run_key: str, images_seen: int) -> Path:
    """Run folder of the newest unfinished run of a training, else a new one.

    One that resumes belongs to a run that ended too: it was killed before its outs stood.
    """
    name = f"train-{run_key[:16]}"
    known = [path for path in runs_folder(paths).glob(f"{name}-*") if read_state(path)]
    newest = max(known, key=lambda path: int(read_state(path)["run"]["start_time"]), default=None)
    if newest and (images_seen or RunFolder(newest).read_last().get("status") != "FINISHED"):
        return newest
    return new_folder(paths, name)
