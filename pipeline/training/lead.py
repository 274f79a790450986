"""Role of the process that reads and writes: restore, observe, slow down, publish."""

from types import TracebackType
from typing import Self

from gan.distributed.world import World
from gan.errors import GanError
from gan.sampling import GRID_COLUMNS
from gan.training.loop import DivergedError
from gan.training.state import TrainState
from pipeline.console import progress, say, warn
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import contact_sheet, save_png
from pipeline.signals import Stop, Stopped
from pipeline.training.follow import send_state
from pipeline.training.observer import LossTable, TrainingObserver
from pipeline.training.plan import Plan
from pipeline.training.progress_folder import ProgressFolder
from pipeline.training.publish import publish, write_digests
from pipeline.training.restore import restore
from pipeline.training.tracker import Status, Tracker, TrainingRun

REAL_IMAGES = 64
"""Training images on the sheet that stands beside the grids."""

RATE_FACTOR = 0.5
"""Factor of the learning rates after a divergence, once."""


class Lead:
    """First process of a training; closes the tracker's record at the end of the block."""

    def __init__(
        self,
        plan: Plan,
        folder: ProgressFolder,
        paths: Paths,
        tracker: Tracker,
        world: World,
        stop: Stop,
        *,
        must_resume: bool,
    ) -> None:
        """must_resume: GanError if there is no checkpoint to resume from."""
        self.plan, self.folder, self.paths, self.tracker = plan, folder, paths, tracker
        self.world, self.stop, self.must_resume = world, stop, must_resume
        self._open = False
        self._progress = progress(f"train {plan.train.objective}", plan.train.images)

    def __enter__(self) -> Self:
        self._advance = self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)
        stopped = error is None or isinstance(error, Stopped | KeyboardInterrupt | SystemExit)
        self._close("KILLED" if stopped else "FAILED")

    def _close(self, status: Status) -> None:
        if self._open:
            self._open = False
            self.tracker.close(status, hurry=self.stop.asked and status != "FINISHED")

    def restore(self, state: TrainState, diverged: DivergedError | None) -> TrainingObserver:
        """Fill a fresh state with the newest checkpoint, and send it to all processes.

        diverged: learning rates are halved, once; a second divergence is a GanError.
        """
        if diverged is not None:
            self.tracker.drop()
        losses = restore(self.plan, self.folder, state, must_resume=self.must_resume)
        seen = state.step * self.plan.train.images_per_step
        if not self._open:
            self._open_record(losses, seen)
        observer = TrainingObserver(
            self.folder,
            self.tracker,
            self.plan.origin,
            losses,
            self.paths.logs / "latest.png",
            self._advance,
            self.plan.train.keep_checkpoints,
            self.stop,
        )
        if diverged is not None:
            self._slow_down(state, diverged, seen)
            observer.checkpoint(seen, state)  # so that a kill doesn't lead back to the first try
        observer.start_clock(seen)
        send_state(self.world, state)
        return observer

    def _open_record(self, losses: LossTable, seen: int) -> None:
        plan = self.plan
        own = self.folder.tracking(plan.run_key)
        run = TrainingRun(plan.name, plan.run_key, plan.lineage, plan.environment, own)
        self.tracker.open(run, seen)
        self._open = True
        # points of a shorter training that this one continues: the tracker has none of them
        for step, measured in losses.rows:
            self.tracker.metrics(measured, step)
        for grid in sorted(self.folder.grids.glob("[0-9]*.png")):
            self.tracker.image("grid", grid, int(grid.stem))
        real = self.folder.path / "real.png"
        save_png(contact_sheet(plan.cache.split("train")[:REAL_IMAGES], GRID_COLUMNS), real)
        self.tracker.image("real", real, 0)
        self.tracker.commit(seen)

    def _slow_down(self, state: TrainState, diverged: DivergedError, seen: int) -> None:
        if state.retries:
            raise GanError(
                f"the training diverged twice: {diverged}, also with learning rates times "
                f"{state.learning_rate_scale:g}; its last good checkpoint is at {seen:,} images "
                f"in {self.folder.path}. Lower the learning rates of train.recipes."
                f"{self.plan.train.objective}, or use precision: float32, a penalty (r1) "
                "or spectral_norm"
            )
        state.retries += 1
        state.learning_rate_scale *= RATE_FACTOR
        warn(
            f"{diverged}; resuming from the checkpoint at {seen:,} images with learning "
            f"rates times {state.learning_rate_scale:g}"
        )
        self.tracker.metrics({"recovery/learning_rate_scale": state.learning_rate_scale}, seen)
        recovered = f"{diverged}; learning rates times {state.learning_rate_scale:g}"
        self.tracker.tags({"recovered": recovered})

    def publish(self) -> None:
        """Put the results in place of the outs, and close the tracker's record as finished."""
        train, newest = self.plan.train, self.folder.states[-1]
        self.tracker.artifact(newest, "checkpoints")
        if (seen := self.folder.images_seen(newest)) < train.images:
            say(
                f"early stop at {seen:,} of {train.images:,} images seen: the diversity of "
                f"{train.early_stop.patience} grids in a row was below train.early_stop.share"
            )
        publish(self.paths, self.folder)
        self.tracker.artifact(write_digests(self.paths, self.folder, self.plan.run_key), "lineage")
        # before the folder is marked: a kill while records are sent must not repeat the training
        self._close("FINISHED")
        self.folder.mark_finished(train.images)
