"""Worker: decodes files of pictures, measures the avatars and stores them in their slots.

A worker reads shards and writes into the staged images itself; only measures come back, since a
pipe between processes costs as much as decoding.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from pipeline.faces.box import Box
from pipeline.preprocessing.decoding.avatars import Avatar, Recipe, make_avatars
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.filters import check_quality_at_all
from pipeline.preprocessing.measures import MEASURES_DTYPE, measure
from pipeline.preprocessing.workers.image_slots import StagedImages

CHUNK = 64  # pictures a task: large enough to hide the cost of sending it
CHUNK_OF_PAGES = 8  # with a face detector, which takes far longer

AVATAR_DTYPE = np.dtype(
    [("picture", "i8"), ("slot", "i8"), ("side", "f8"), ("box", "f8", 5), *MEASURES_DTYPE.descr]
)
"""Of one avatar: number of its picture in the plan, its slot, pixels of the side that was cut
out, the face's box and score (NaN without a detector), and its measures."""


@dataclass(frozen=True)
class Job:
    """The part that all tasks share: shards, recipe, file of slots.

    A picture has recipe.most_avatars slots in the file `target`.
    """

    shards: tuple[Path, ...]
    recipe: Recipe
    target: Path

    @property
    def chunk(self) -> int:
        """Pictures a task."""
        return CHUNK if self.recipe.detector is None else CHUNK_OF_PAGES


@dataclass(frozen=True, slots=True)
class Task:
    """Neighbouring pictures from `first` on: shard, offset and size of each file, listed boxes."""

    first: int
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    boxes: dict[int, tuple[Box, ...]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Avatars (n,) of AVATAR_DTYPE of some `pictures`, and rejects with their picture's number.

    Avatars are in the order of their slots. A reject is a picture or a face of which no avatar
    was made.
    """

    pictures: int
    avatars: NDArray[np.void]
    rejects: list[tuple[int, Reject]]


class Worker:
    """Runs tasks one after the other; keeps the shard open that it read last."""

    def __init__(self, job: Job, stopped: Callable[[], bool]) -> None:
        """`stopped()` is true when results are no longer wanted: a task then ends at once."""
        self._job, self._stopped = job, stopped
        self._shard: BinaryIO | None = None

    @cached_property
    def _target(self) -> StagedImages:
        """Opened with the first task: before that its folder does not exist."""
        return StagedImages(self._job.target, self._job.recipe.settings.size)

    def close(self) -> None:
        for opened in (vars(self).get("_target"), self._shard):
            if opened is not None:
                opened.close()

    def __call__(self, task: Task) -> Decoded:
        """Make, measure and store the avatars of a task; GanError if a shard cannot be read."""
        avatars: list[tuple[int, int, Avatar]] = []
        rejects: list[tuple[int, Reject]] = []
        files = zip(task.shard.tolist(), task.offset.tolist(), task.size.tolist(), strict=True)
        for picture, (shard, offset, size) in enumerate(files, start=task.first):
            if self._stopped():
                break
            data = self._read(self._job.shards[shard], offset, size)
            made, refused = make_avatars(data, self._job.recipe, task.boxes.get(picture))
            rejects += ((picture, reject) for reject in refused)
            avatars += ((picture, face, avatar) for face, avatar in enumerate(made))
        return Decoded(len(task.shard), self._store(avatars), rejects)

    def _read(self, path: Path, offset: int, size: int) -> bytes:
        try:
            if self._shard is None or self._shard.name != str(path):
                if self._shard is not None:
                    self._shard.close()
                self._shard = path.open("rb")
            self._shard.seek(offset)
            return self._shard.read(size)
        except OSError as error:
            raise GanError(f"{path}: cannot be read: {error.strerror}") from None

    def _store(self, avatars: list[tuple[int, int, Avatar]]) -> NDArray[np.void]:
        """Measure and write avatars, each with its picture and its number in that."""
        records = np.zeros(len(avatars), AVATAR_DTYPE)
        if not avatars:
            return records
        recipe = self._job.recipe
        images = np.stack([avatar.pixels for _, _, avatar in avatars])
        measured = measure(
            images,
            hashes=recipe.settings.duplicates.near,
            quality=check_quality_at_all(recipe.settings.filters),
        )
        records[list(MEASURES_DTYPE.names or ())] = measured
        for record, (picture, number, avatar) in zip(records, avatars, strict=True):
            record["picture"], record["slot"] = picture, picture * recipe.most_avatars + number
            record["side"] = avatar.side
            record["box"] = np.nan if avatar.box is None else astuple(avatar.box)
        self._target.write(records["slot"], images)
        return records
