"""What the process does that reads and writes: restores, records, and tries again once."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from gan.distributed.world import World
from gan.errors import GanError
from gan.training.loop import DivergedError, Observer
from gan.training.state import TrainState
from pipeline.console import warn
from pipeline.paths import Paths
from pipeline.signals import Stop
from pipeline.tracking.rows import Run
from pipeline.tracking.training_row import open_row
from pipeline.training.follow import send_state
from pipeline.training.observer import Recorder
from pipeline.training.plan import Plan
from pipeline.training.progress_folder import Unfinished
from pipeline.training.restore import restore

HURRY_S = 5.0
"""What a tracker gets to take the last records of a training that was asked to stop."""

SLOWER = 0.5
"""What a training that diverged multiplies its learning rates with, once."""


class Leader:
    """Owns the tracker's row from the first restored state to the end of the block."""

    row: Run

    def __init__(
        self,
        todo: Plan,
        paths: Paths,
        work: Unfinished,
        world: World,
        stop: Stop,
        advance: Callable[[int, str], None],
        *,
        insist: bool,
    ) -> None:
        """insist: GanError if there is no checkpoint to go on from.

        Whoever sees the training through to its outs sets `finished`.
        """
        self.todo, self.paths, self.work = todo, paths, work
        self.world, self.stop, self.advance = world, stop, advance
        self.insist, self.finished = insist, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if hasattr(self, "row"):
            status = self._status(error)
            hurried = self.stop.asked and status != "FINISHED"
            self.row.close(status, HURRY_S if hurried else None)

    def _status(self, error: BaseException | None) -> str:
        if error is None:
            return "FINISHED" if self.finished else "KILLED"
        return "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"

    def begin(self, state: TrainState, diverged: DivergedError | None) -> Observer:
        """Restore the newest state, and after a divergence go on from it more slowly."""
        if diverged is not None:
            self.row.drop()
        losses = restore(self.todo, self.work, state, insist=self.insist)
        seen = state.step * self.todo.params.train.images_per_step
        if not hasattr(self, "row"):
            self.row = open_row(self.todo, self.paths, self.work, losses, seen)
        recorder = Recorder(
            self.work,
            self.row,
            self.todo.origin,
            losses,
            self.paths.logs / "latest.png",
            self.advance,
            self.todo.params.train.keep_checkpoints,
            self.stop,
        )
        if diverged is not None:
            self._slow_down(state, diverged, seen)
            recorder.checkpoint(seen, state)  # so that a kill doesn't lead back to the first try
        recorder.started(seen)
        send_state(self.world, state)
        return recorder

    def _slow_down(self, state: TrainState, diverged: DivergedError, seen: int) -> None:
        what = str(diverged)
        if state.retries:
            raise GanError(
                f"the training diverged twice: {what}, also with learning rates times "
                f"{state.rate_scale:g}; its last good checkpoint is at {seen:,} images in "
                f"{self.work.folder}. Lower the learning rates of train.recipes."
                f"{self.todo.params.train.objective}, or use precision: float32, a penalty (r1) "
                "or spectral_norm"
            )
        state.retries += 1
        state.rate_scale *= SLOWER
        warn(
            f"{what}; going on from the checkpoint at {seen:,} images with learning "
            f"rates times {state.rate_scale:g}"
        )
        self.row.metrics({"recovery/learning_rate_scale": state.rate_scale}, seen)
        self.row.tags({"recovered": f"{what}; learning rates times {state.rate_scale:g}"})
