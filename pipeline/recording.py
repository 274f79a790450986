"""What a training leaves behind while it runs: losses, grids, snapshots, states; local first."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from gan.checkpoints import Origin, save_checkpoint
from gan.durable import write_atomically
from gan.models.dcgan import Generator
from gan.sampling import GRID_COLUMNS, GRID_SEEDS, generate, seed_latents
from gan.training import TrainState
from pipeline.images.contact_sheet import contact_sheet, save_png
from pipeline.tracking import Run
from pipeline.unfinished import Unfinished


def avatars(generator: Generator, seeds: range) -> NDArray[np.uint8]:
    """Avatars of seeds: (n, size, size, 3) uint8."""
    images = torch.cat(list(generate(generator, seed_latents(seeds, generator.latent_size))))
    return images.permute(0, 2, 3, 1).numpy()


class Losses:
    """losses.tsv: a row a log, columns in the order of the first row."""

    def __init__(self, path: Path, until: int) -> None:
        """Go on with a file whose rows later than `until` images seen never happened."""
        self.path = path
        self.rows: list[tuple[int, dict[str, float]]] = []
        if path.is_file():
            header, *lines = path.read_text(encoding="utf-8").splitlines()
            names = header.split("\t")[1:]
            for line in lines:
                seen, *values = line.split("\t")
                if int(seen) <= until:
                    self.rows.append(
                        (int(seen), dict(zip(names, map(float, values), strict=True)))
                    )

    def add(self, images_seen: int, measured: dict[str, float]) -> None:
        self.rows.append((images_seen, measured))

    def text(self) -> str:
        """The whole table; equal numbers give equal bytes."""
        names = sorted(self.rows[0][1]) if self.rows else []
        lines = ["\t".join(["images_seen", *names])]
        for seen, values in self.rows:
            lines.append("\t".join([str(seen), *(f"{values[name]:.6g}" for name in names)]))
        return "\n".join(lines) + "\n"

    def save(self) -> None:
        write_atomically(self.path, self.text().encode())


class Recorder:
    """The training's observer: files first, the tracker second, which a checkpoint commits."""

    def __init__(
        self,
        work: Unfinished,
        run: Run,
        origin: Callable[[int], Origin],
        losses: Losses,
        latest: Path,
        advance: Callable[[int, str], None],
    ) -> None:
        """`latest`: a picture that each grid overwrites, to keep open in a viewer."""
        self.work, self.run, self.origin, self.losses = work, run, origin, losses
        self.latest, self.advance = latest, advance
        self._clock, self._seen, self._note = time.monotonic(), 0, ""
        self._process = psutil.Process(os.getpid())

    def started(self, images_seen: int) -> None:
        """Start the clock of the throughput."""
        self._clock, self._seen = time.monotonic(), images_seen

    def log(self, images_seen: int, measured: dict[str, float]) -> None:
        self.losses.add(images_seen, measured)
        now = time.monotonic()
        rate = (images_seen - self._seen) / max(now - self._clock, 1e-9)
        self._clock, self._seen = now, images_seen
        system = {
            "throughput/images_per_second": rate,
            "system/memory_mb": self._process.memory_info().rss / 2**20,
        }
        self.run.metrics(measured | system, images_seen)
        self._note = (
            f"{rate:.0f} img/s  D {measured['loss/discriminator']:.3f}"
            f"  G {measured['loss/generator']:.3f}"
        )

    def grid(self, images_seen: int, averaged: Generator) -> None:
        sheet = contact_sheet(avatars(averaged, GRID_SEEDS), GRID_COLUMNS)
        path = self.work.grids / f"{images_seen:012d}.png"
        save_png(sheet, path)
        save_png(sheet, self.latest)
        self.run.image("grid", path, images_seen)

    def snapshot(self, images_seen: int, averaged: Generator) -> None:
        path = self.work.snapshots / f"{images_seen:012d}.pt"
        save_checkpoint(path, self.origin(images_seen), averaged)
        self.run.artifact(path, "checkpoints")

    def checkpoint(self, images_seen: int, state: TrainState) -> None:
        self.losses.save()
        save_checkpoint(
            self.work.state_file(images_seen),
            self.origin(images_seen),
            state.averaged,
            state.state_dict(),
        )
        self.work.drop_old_states()
        # only now: what the tracker shows is what a resumed run will not repeat
        self.run.commit()

    def stepped(self, images_seen: int) -> None:
        self.advance(images_seen, self._note)
