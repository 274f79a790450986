"""Observer of a running training: losses, grids, snapshots, checkpoints; files first."""

import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from gan.atomic import write_atomically
from gan.checkpoints import Origin, describe_checkpoint, save_checkpoint
from gan.models.interfaces import Generator
from gan.sampling import GRID_COLUMNS, GRID_NAME
from gan.training.state import TrainState
from pipeline.console import warn
from pipeline.pictures.contact_sheet import contact_sheet, save_png
from pipeline.pictures.png_lineage import make_text_chunks
from pipeline.signals import Stop
from pipeline.training.progress_folder import ProgressFolder
from pipeline.training.tracker import Record

ALARMS = {
    "alarm/discriminator_wins": "the discriminator classifies nearly all pictures correctly, so "
    "the generator gets little gradient",
    "alarm/collapse": "mode collapse: the pictures of the grid have become much alike",
}


class LossTable:
    """The losses.tsv of a training: one line a log, columns sorted by name."""

    def __init__(self, path: Path, until: int) -> None:
        """Read the lines of an earlier session up to `until` images seen; drop later ones."""
        self.path = path
        self.rows: list[tuple[int, dict[str, float]]] = []
        if path.is_file():
            header, *lines = path.read_text(encoding="utf-8").splitlines()
            names = header.split("\t")[1:]
            for line in lines:
                seen, *values = line.split("\t")
                if int(seen) <= until:
                    known = [pair for pair in zip(names, values, strict=True) if pair[1]]
                    self.rows.append((int(seen), {name: float(v) for name, v in known}))

    def add(self, images_seen: int, measured: dict[str, float]) -> None:
        self.rows.append((images_seen, measured))

    def text(self) -> str:
        """The whole table, empty where nothing was measured; equal numbers give equal bytes."""
        names = sorted({name for _, values in self.rows for name in values})
        lines = ["\t".join(["images_seen", *names])]
        for seen, values in self.rows:
            cells = (f"{values[name]:.6g}" if name in values else "" for name in names)
            lines.append("\t".join([str(seen), *cells]))
        return "\n".join(lines) + "\n"

    def save(self) -> None:
        write_atomically(self.path, self.text())


class TrainingObserver:
    """Writer of everything a training yields: files first, the tracker second."""

    def __init__(
        self,
        folder: ProgressFolder,
        record: Record,
        origin: Callable[[int], Origin],
        losses: LossTable,
        latest: Path,
        advance: Callable[[int, str], None],
        keep: int,
        stop: Stop,
    ) -> None:
        """latest: PNG file that each grid overwrites, to keep open in a viewer. keep: checkpoints
        that stay."""
        self.folder, self.record, self.origin, self.losses = folder, record, origin, losses
        self.latest, self.advance, self.keep, self.stop = latest, advance, keep, stop
        self._clock, self._seen, self._note = time.monotonic(), 0, ""
        self._alarms: set[str] = set()

    def start_clock(self, images_seen: int) -> None:
        """Start the clock of the throughput."""
        self._clock, self._seen = time.monotonic(), images_seen

    def log(self, images_seen: int, measured: dict[str, float]) -> None:
        self.losses.add(images_seen, measured)
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
        text = make_text_chunks(describe_checkpoint(self.origin(images_seen)), GRID_NAME)
        save_png(sheet, path, text)
        save_png(sheet, self.latest, text)
        self.record.image("grid", path, images_seen)

    def snapshot(self, images_seen: int, averaged: Generator) -> None:
        path = self.folder.snapshots / f"{images_seen:012d}.pt"
        save_checkpoint(path, self.origin(images_seen), averaged)
        self.record.artifact(path, "checkpoints")

    def checkpoint(self, images_seen: int, state: TrainState) -> None:
        self.losses.save()
        self.record.prepare(images_seen)
        save_checkpoint(
            self.folder.state_file(images_seen),
            self.origin(images_seen),
            state.averaged,
            state.state_dict(),
        )
        # only now: points before this checkpoint will not be measured again
        self.record.commit()
        self.folder.drop_old_states(self.keep)

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
