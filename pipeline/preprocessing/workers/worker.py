"""What one worker does with files of pictures: avatars, made, measured and stored.

A worker reads shards and writes into the staged cache itself; only facts come back, since a pipe
between processes costs as much as decoding.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from pipeline.preprocessing.decoding.avatars import Avatar, Recipe, make_avatars
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.measures import MEASURES, measure
from pipeline.preprocessing.workers.image_slots import StagedImages

CHUNK = 64  # pictures a task: large enough to hide the cost of passing it on
CHUNK_OF_PAGES = 8  # where faces are looked for, which takes far longer

AVATARS = np.dtype(
    [("entry", "i8"), ("slot", "i8"), ("side", "f8"), ("box", "f8", 5), *MEASURES.descr]
)
"""What is known of an avatar: its picture and slot, pixels of the side that was cut out, the
face's box and score (NaN where none was looked for), and what was measured."""


@dataclass(frozen=True)
class Bench:
    """What all tasks share: where files are, how avatars are made and measured, where they go.

    A picture has `slots` slots in the file `target`: as many as avatars may come of it.
    """

    shards: tuple[Path, ...]
    recipe: Recipe
    target: Path
    slots: int
    hashes: bool
    looks: bool

    @property
    def chunk(self) -> int:
        """Pictures a task."""
        return CHUNK if self.recipe.faces is None else CHUNK_OF_PAGES


@dataclass(frozen=True, slots=True)
class Task:
    """Neighbouring entries from `first` on: shard, offset and size of each file, noted boxes."""

    first: int
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    noted: dict[int, tuple[Box, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a task: AVATARS, what was left out by entry, how many faces were found."""

    pictures: int
    avatars: NDArray[np.void]
    rejects: tuple[tuple[int, Reject], ...]
    found: int


class Worker:
    """Does tasks one after the other; holds the shard open that it read last."""

    def __init__(self, bench: Bench, stopped: Callable[[], bool]) -> None:
        """`stopped` tells when nobody waits for its tasks any more: it leaves them at once."""
        self._bench, self._stopped = bench, stopped
        self._shard, self._file = -1, -1

    @cached_property
    def _target(self) -> StagedImages:
        """Opened with the first task: earlier its folder is not there."""
        return StagedImages(self._bench.target, self._bench.recipe.geometry.size)

    def close(self) -> None:
        if "_target" in self.__dict__:
            self._target.close()
        if self._file >= 0:
            os.close(self._file)

    def __call__(self, task: Task) -> Done:
        """Make, measure and store the avatars of a task; GanError if a shard cannot be read."""
        made: list[tuple[int, int, Avatar]] = []
        rejects: list[tuple[int, Reject]] = []
        found = 0
        files = zip(task.shard.tolist(), task.offset.tolist(), task.size.tolist(), strict=True)
        for entry, file in enumerate(files, start=task.first):
            if self._stopped():
                break
            noted = task.noted.get(entry) if task.noted is not None else None
            outcome = make_avatars(self._read(*file), self._bench.recipe, noted)
            found += outcome.found
            rejects += ((entry, each) for each in outcome.rejects)
            made += ((entry, number, each) for number, each in enumerate(outcome.avatars))
        return Done(len(task.shard), self._store(made), tuple(rejects), found)

    def _read(self, shard: int, offset: int, size: int) -> bytes:
        path = self._bench.shards[shard]
        try:
            if shard != self._shard:
                self._open(path, shard)
            return os.pread(self._file, size, offset)
        except OSError as error:
            raise GanError(f"{path}: cannot be read: {error.strerror}") from None

    def _open(self, path: Path, shard: int) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._shard, self._file = -1, -1
        self._file = os.open(path, os.O_RDONLY)
        self._shard = shard

    def _store(self, made: list[tuple[int, int, Avatar]]) -> NDArray[np.void]:
        facts = np.zeros(len(made), AVATARS)
        if not made:
            return facts
        images = np.stack([avatar.pixels for _, _, avatar in made])
        measured = measure(images, hashes=self._bench.hashes, looks=self._bench.looks)
        for name in MEASURES.names or ():
            facts[name] = measured[name]
        facts["box"] = np.nan
        for fact, (entry, number, avatar) in zip(facts, made, strict=True):
            fact["entry"], fact["slot"] = entry, entry * self._bench.slots + number
            fact["side"] = avatar.side
            if avatar.box is not None:
                box = avatar.box
                fact["box"] = (box.x, box.y, box.width, box.height, box.score)
        self._target.write(facts["slot"], images)
        return facts
