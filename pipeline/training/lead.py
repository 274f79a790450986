"""Roles of the processes of a training: the first reads and writes, the others follow it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor

from gan.atomic import write_atomically
from gan.checkpoints import load_checkpoint, save_checkpoint
from gan.distributed.world import World
from gan.errors import GanError
from gan.models.interfaces import Generator
from gan.training.loop import DivergedError
from gan.training.state import TrainState
from pipeline.console import Advance, say, warn
from pipeline.paths import Paths
from pipeline.signals import Stop, Stopped
from pipeline.training.observer import LossTable, TrainingObserver
from pipeline.training.plan import Plan
from pipeline.training.progress_folder import ProgressFolder
from pipeline.training.publish import draw_real_sheet, publish, write_digests
from pipeline.training.tracker import Record, Status, Tracker, TrainingRun

RATE_FACTOR = 0.5
"""Factor of the learning rates after a divergence, once."""


class Lead:
    """First process of a training."""

    def __init__(
        self,
        plan: Plan,
        folder: ProgressFolder,
        paths: Paths,
        tracker: Tracker,
        world: World,
        stop: Stop,
        advance: Advance,
        *,
        must_resume: bool,
    ) -> None:
        """must_resume: GanError if there is no checkpoint to resume from."""
        self.plan, self.folder, self.paths, self.tracker = plan, folder, paths, tracker
        self.world, self.stop, self.must_resume = world, stop, must_resume
        self._advance = advance
        self._record: Record | None = None

    @contextmanager
    def recording(self) -> Iterator[Self]:
        """Close the tracker's record at the end of the block, unless `publish` has."""
        try:
            yield self
        except Exception as error:
            self._close("KILLED" if isinstance(error, Stopped) else "FAILED")
            raise
        finally:
            self._close("KILLED")

    def _close(self, status: Status) -> None:
        if self._record:
            self._record.close(status, hurry=self.stop.asked and status != "FINISHED")
            self._record = None

    def restore(self, state: TrainState, diverged: DivergedError | None) -> TrainingObserver:
        """Fill a fresh state with the newest checkpoint, and send it to all processes.

        diverged: learning rates are halved, once; a second divergence is a GanError.
        """
        if self._record:
            self._record.drop()
        losses = restore_newest(self.plan, self.folder, state, must_resume=self.must_resume)
        seen = state.step * self.plan.train.images_per_step
        record = self._record = self._record or self._open_record(losses, seen)
        observer = TrainingObserver(
            self.folder,
            record,
            self.plan.origin,
            losses,
            self.paths.logs / "latest.png",
            self._advance,
            self.plan.train.keep_checkpoints,
            self.stop,
        )
        if diverged is not None:
            self._slow_down(state, diverged, seen, record)
            observer.checkpoint(seen, state)  # so that a kill doesn't lead back to the first try
        observer.start_clock(seen)
        _send_state(self.world, state)
        return observer

    def _open_record(self, losses: LossTable, seen: int) -> Record:
        plan, path = self.plan, self.folder.path
        run = TrainingRun(plan.name, plan.run_key, plan.lineage, plan.environment, path)
        record = self.tracker.open(run, seen)
        # points of a shorter training that this one continues: the tracker has none of them
        for step, measured in losses.rows:
            record.metrics(measured, step)
        for grid in sorted(self.folder.grids.glob("[0-9]*.png")):
            record.image("grid", grid, int(grid.stem))
        record.image("real", draw_real_sheet(plan.cache, path / "real.png"), 0)
        record.commit()
        return record

    def _slow_down(
        self, state: TrainState, diverged: DivergedError, seen: int, record: Record
    ) -> None:
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
        record.metrics({"recovery/learning_rate_scale": state.learning_rate_scale}, seen)
        recovered = f"{diverged}; learning rates times {state.learning_rate_scale:g}"
        record.tags({"recovered": recovered})

    def publish(self) -> None:
        """Put the results in place of the outs, and close the tracker's record as finished."""
        train, newest, record = self.plan.train, self.folder.states[-1], self._record or Record()
        record.artifact(newest, "checkpoints")
        if (seen := self.folder.images_seen(newest)) < train.images:
            say(
                f"early stop at {seen:,} of {train.images:,} images seen: the diversity of "
                f"{train.early_stop.patience} grids in a row was below train.early_stop.share"
            )
        publish(self.paths, self.folder)
        about = {"run_key": self.plan.run_key, "identity": self.folder.identity}
        digests = write_digests(self.paths, self.folder.path / "outs.json", about)
        record.artifact(digests, "lineage")
        # before the folder is marked: a kill while records are sent must not repeat the training
        self._close("FINISHED")
        write_atomically(self.folder.finished, f"{train.images}\n")


def restore_newest(
    plan: Plan, folder: ProgressFolder, state: TrainState, *, must_resume: bool
) -> LossTable:
    """Fill a fresh state with the newest checkpoint, if any; remove what came after it.

    must_resume: GanError if there is none. Returns the losses up to the checkpoint.
    """
    saved = folder.load_newest(warn)
    if saved is None:
        if must_resume:
            raise GanError(f"--resume: no whole checkpoint is left in {folder.path}")
        folder.clear()
        if plan.warm is not None:
            plan.warm.fill(state)
            say(f"starting from the weights of {plan.warm.path}")
    else:
        state.load_state_dict(saved["state"])
    seen = saved["origin"]["images_seen"] if saved else 0
    _remove_later_files(plan, folder, seen)
    if saved is not None:
        say(f"resuming at {seen:,} images seen ({folder.path})")
        _adopt_snapshots(plan, folder, state.averaged)
        state.averaged.load_state_dict(saved["averaged"])
    return LossTable(folder.losses, seen)


def _remove_later_files(plan: Plan, folder: ProgressFolder, seen: int) -> None:
    """Remove snapshots and grids that an uninterrupted run would not have by now."""
    train, per_step = plan.train, plan.train.images_per_step
    for place, every in (
        (folder.snapshots, train.snapshot_every),
        (folder.grids, train.grid_every),
    ):
        place.mkdir(exist_ok=True)
        for path in place.iterdir():
            at = int(path.stem) if path.stem.isdigit() else -1
            # a shorter run's last one would not be there in an uninterrupted longer run
            planned = at == 0 or at // every > (at - per_step) // every
            if at < 0 or at > seen or not planned:
                path.unlink()


def _adopt_snapshots(plan: Plan, folder: ProgressFolder, network: Generator) -> None:
    """Make the snapshots of a run of another length this run's own, as if it had made them."""
    for path in folder.snapshots.iterdir():
        try:
            content = load_checkpoint(path)
        except GanError as error:
            raise GanError(
                f"{error}; `gan clean --remove` removes this training, so that it starts afresh"
            ) from None
        if content["origin"]["run_key"] != plan.run_key:
            network.load_state_dict(content["averaged"])
            save_checkpoint(path, plan.origin(int(path.stem)), network)


def _send_state(world: World, state: TrainState) -> None:
    """Send the first process's state to all others."""
    if world.size > 1:
        buffer = io.BytesIO()
        torch.save(state.state_dict(), buffer)
        world.broadcast(buffer.getvalue())


def _receive_state(world: World) -> dict[str, Any]:
    sent: Any = world.broadcast(None)
    content: dict[str, Any] = torch.load(io.BytesIO(sent), map_location="cpu", weights_only=True)
    return content


class Follow:
    """Training process that takes its state from the first one and writes nothing."""

    def __init__(self, world: World, stop: Stop) -> None:
        self.world, self.stop = world, stop

    def restore(self, state: TrainState, diverged: DivergedError | None) -> Self:
        """Receive the state that the first process restored."""
        state.load_state_dict(_receive_state(self.world))
        return self

    def publish(self) -> None: ...
    def log(self, images_seen: int, measured: dict[str, float]) -> None: ...
    def grid(self, images_seen: int, images: Tensor, measured: dict[str, float]) -> None: ...
    def snapshot(self, images_seen: int, averaged: Generator) -> None: ...
    def checkpoint(self, images_seen: int, state: TrainState) -> None: ...
    def step_done(self, images_seen: int) -> None: ...
    def should_stop(self) -> bool:
        return self.stop.asked
