"""Roles of the processes of a training: the first reads and writes, the others follow it."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor

from gan.atomic import write_atomically
from gan.checkpoints import describe_checkpoint, load_checkpoint, save_checkpoint
from gan.distributed.world import World
from gan.errors import GanError
from gan.models.interfaces import Generator
from gan.sampling import GRID_COLUMNS, GRID_NAME
from gan.training.loop import DivergedError
from gan.training.state import TrainState
from pipeline.console import Advance, say, warn
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import contact_sheet, save_png
from pipeline.pictures.png_lineage import make_text_chunks
from pipeline.signals import Stop, Stopped
from pipeline.training.loss_table import LossTable
from pipeline.training.plan import Plan
from pipeline.training.progress_folder import ProgressFolder
from pipeline.training.publish import draw_real_sheet, publish, write_digests
from pipeline.training.tracker import Record, Status, Tracker

RATE_FACTOR = 0.5
"""Factor of the learning rates after a divergence, once."""

ALARMS = {
    "alarm/discriminator_wins": "the discriminator classifies nearly all pictures correctly, so "
    "the generator gets little gradient",
    "alarm/collapse": "mode collapse: the pictures of the grid have become much alike",
}


class Lead:
    """First process of a training, and observer of its loop: files first, the tracker second."""

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
        must_resume: bool = False,
    ) -> None:
        """must_resume: GanError if there is no checkpoint to resume from."""
        self.plan, self.folder, self.paths, self.tracker = plan, folder, paths, tracker
        self.world, self.stop, self.must_resume = world, stop, must_resume
        self.advance, self.losses = advance, LossTable(folder.losses, 0)
        self.record, self._open = Record(), False
        self._clock, self._seen, self._note = time.monotonic(), 0, ""
        self._alarms: set[str] = set()

    @contextmanager
    def recording(self) -> Iterator[Self]:
        """Close the tracker's record at the end of the block, unless `publish` has."""
        status: Status = "KILLED"
        try:
            yield self
        except Exception as error:
            status = "KILLED" if isinstance(error, Stopped) else "FAILED"
            raise
        finally:
            self._close(status)

    def _close(self, status: Status) -> None:
        record, self.record = self.record, Record()
        record.close(status, hurry=self.stop.asked and status != "FINISHED")

    def restore(self, state: TrainState, diverged: DivergedError | None) -> None:
        """Fill a fresh state with the newest checkpoint, and send it to all processes.

        diverged: learning rates are halved, once; a second divergence is a GanError.
        """
        self.record.drop()
        self._restore_newest(state)
        seen = state.step * self.plan.train.images_per_step
        if not self._open:
            self._open_record(seen)
        if diverged is not None:
            self._slow_down(state, diverged, seen)
            self.checkpoint(seen, state)  # so that a kill doesn't lead back to the first try
        self._clock, self._seen = time.monotonic(), seen
        if self.world.size > 1:
            buffer = io.BytesIO()
            torch.save(state.state_dict(), buffer)
            self.world.broadcast(buffer.getvalue())

    def _restore_newest(self, state: TrainState) -> None:
        """Fill a fresh state with the newest checkpoint, if any; remove what came after it."""
        plan, folder, seen = self.plan, self.folder, 0
        if saved := folder.load_newest():
            state.load_state_dict(saved["state"])
            seen = saved["origin"]["images_seen"]
        elif self.must_resume:
            raise GanError(f"--resume: no whole checkpoint is left in {folder.path}")
        else:
            folder.clear()
            if plan.warm is not None:
                plan.warm.fill(state)
                say(f"starting from the weights of {plan.warm.path}")
        self._remove_later_files(seen)
        if saved:
            say(f"resuming at {seen:,} images seen ({folder.path})")
            self._adopt_snapshots(state.averaged)
            state.averaged.load_state_dict(saved["averaged"])
        self.losses = LossTable(folder.losses, seen)

    def _remove_later_files(self, seen: int) -> None:
        """Remove snapshots and grids that an uninterrupted run would not have by now."""
        train, per_step = self.plan.train, self.plan.train.images_per_step
        for place, every in (
            (self.folder.snapshots, train.snapshot_every),
            (self.folder.grids, train.grid_every),
        ):
            place.mkdir(exist_ok=True)
            for path in place.iterdir():
                at = int(path.stem) if path.stem.isdigit() else -1
                # a shorter run's last one would not be there in an uninterrupted longer run
                planned = at == 0 or at // every > (at - per_step) // every
                if at < 0 or at > seen or not planned:
                    path.unlink()

    def _adopt_snapshots(self, network: Generator) -> None:
        """Make the snapshots of a run of another length this run's own, as if it had made them."""
        for path in self.folder.snapshots.iterdir():
            try:
                content = load_checkpoint(path)
            except GanError as error:
                raise GanError(
                    f"{error}; `gan clean --remove` removes this training, so that it starts "
                    "afresh"
                ) from None
            if content["origin"]["run_key"] != self.plan.run_key:
                network.load_state_dict(content["averaged"])
                save_checkpoint(path, self.plan.origin(int(path.stem)), network)

    def _open_record(self, seen: int) -> None:
        self.record, self._open = self.tracker.open(self.plan, seen), True
        # points of a shorter training that this one continues: the tracker has none of them
        for step, measured in self.losses.rows:
            self.record.metrics(measured, step)
        for grid in sorted(self.folder.grids.glob("[0-9]*.png")):
            self.record.image("grid", grid, int(grid.stem))
        real = draw_real_sheet(self.plan.cache, self.folder.path / "real.png")
        self.record.image("real", real, 0)
        self.record.commit()

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
        self.record.metrics({"recovery/learning_rate_scale": state.learning_rate_scale}, seen)
        recovered = f"{diverged}; learning rates times {state.learning_rate_scale:g}"
        self.record.tags({"recovered": recovered})

    def log(self, images_seen: int, measured: dict[str, float]) -> None:
        self.losses.rows.append((images_seen, measured))
        now = time.monotonic()
        rate = (images_seen - self._seen) / max(now - self._clock, 1e-9)
        self._clock, self._seen = now, images_seen
        self.record.metrics(measured | {"throughput/images_per_second": rate}, images_seen)
        self.record.system_metrics(images_seen)
        self._alarm(measured, images_seen)
        self._note = (
            f"{rate:.0f} img/s  D {measured['loss/discriminator']:.3f}"
            f"  G {measured['loss/generator']:.3f}"
        )

    def grid(self, images_seen: int, images: Tensor, measured: dict[str, float]) -> None:
        sheet = contact_sheet(images.permute(0, 2, 3, 1).numpy(), GRID_COLUMNS)
        self.record.metrics(measured, images_seen)
        self._alarm(measured, images_seen)
        path = self.folder.grids / f"{images_seen:012d}.png"
        text = make_text_chunks(describe_checkpoint(self.plan.origin(images_seen)), GRID_NAME)
        save_png(sheet, path, text)
        save_png(sheet, self.paths.logs / "latest.png", text)
        self.record.image("grid", path, images_seen)

    def snapshot(self, images_seen: int, averaged: Generator) -> None:
        path = self.folder.snapshots / f"{images_seen:012d}.pt"
        save_checkpoint(path, self.plan.origin(images_seen), averaged)
        self.record.artifact(path, "checkpoints")

    def checkpoint(self, images_seen: int, state: TrainState) -> None:
        self.losses.save()
        self.record.prepare(images_seen)
        save_checkpoint(
            self.folder.path / f"state-{images_seen:012d}.pt",
            self.plan.origin(images_seen),
            state.averaged,
            state.state_dict(),
        )
        # only now: points before this checkpoint will not be measured again
        self.record.commit()
        self.folder.drop_old_states(self.plan.train.keep_checkpoints)

    def _alarm(self, measured: dict[str, float], images_seen: int) -> None:
        """Warn when an alarm goes off for the first time; the metric holds the rest."""
        for name, meaning in ALARMS.items():
            if measured.get(name) and name not in self._alarms:
                self._alarms.add(name)
                warn(f"{meaning} ({name}, {images_seen:,} images seen)")

    def step_done(self, images_seen: int) -> None:
        self.advance(images_seen, self._note)

    def should_stop(self) -> bool:
        return self.stop.asked

    def publish(self) -> None:
        """Put the results in place of the outs, and close the tracker's record as finished."""
        train, newest = self.plan.train, self.folder.states[-1]
        self.record.artifact(newest, "checkpoints")
        if (seen := self.folder.images_seen(newest)) < train.images:
            say(
                f"early stop at {seen:,} of {train.images:,} images seen: the diversity of "
                f"{train.early_stop.patience} grids in a row was below train.early_stop.share"
            )
        publish(self.paths, self.folder)
        about = {"run_key": self.plan.run_key, "identity": self.folder.identity}
        digests = write_digests(self.paths, self.folder.path / "outs.json", about)
        self.record.artifact(digests, "lineage")
        # before the folder is marked: a kill while records are sent must not repeat the training
        self._close("FINISHED")
        write_atomically(self.folder.finished, f"{train.images}\n")


class Follow:
    """Training process that takes its state from the first one and writes nothing."""

    def __init__(self, world: World, stop: Stop) -> None:
        self.world, self.stop = world, stop

    def restore(self, state: TrainState, diverged: DivergedError | None) -> None:
        """Receive the state that the first process restored."""
        sent: Any = self.world.broadcast(None)
        content = torch.load(io.BytesIO(sent), map_location="cpu", weights_only=True)
        state.load_state_dict(content)

    def publish(self) -> None: ...
    def log(self, images_seen: int, measured: dict[str, float]) -> None: ...
    def grid(self, images_seen: int, images: Tensor, measured: dict[str, float]) -> None: ...
    def snapshot(self, images_seen: int, averaged: Generator) -> None: ...
    def checkpoint(self, images_seen: int, state: TrainState) -> None: ...
    def step_done(self, images_seen: int) -> None: ...
    def should_stop(self) -> bool:
        return self.stop.asked
