"""What preprocess has to do: one entry a distinct picture file, those of train first.

Arrays rather than objects: a million rows of a manifest as Python objects take gigabytes.
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from pipeline.dataset.manifest import STATUSES
from pipeline.dataset.reader import Dataset
from pipeline.dataset.shards import ImageIndex, Location
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.box_file import BoxFile

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class SameFiles:
    """Rows whose file another row has too: their numbers and places, the entry that stands."""

    row: Integers
    place: Integers
    entry: Integers


@dataclass(frozen=True)
class Plan:
    """Entries in cache order, as arrays: manifest row and its place, sha256, size and image.

    `image` is the number in `index`; the first `train` entries are of the train split.
    """

    row: Integers
    place: Integers
    digest: NDArray[np.bytes_]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    image: Integers
    index: ImageIndex
    train: int
    statuses: Counter[str]
    licences: Counter[str]
    same_files: SameFiles
    noted: dict[int, tuple[Box, ...]] | None = None  # by entry, where a file has boxes for it

    def __len__(self) -> int:
        return len(self.row)

    def sizes(self, entries: Integers) -> tuple[Integers, Integers, NDArray[np.bytes_]]:
        """What one picture is preferred to another by: pixels, bytes of the file, its sha256."""
        area = self.width[entries].astype(np.int64) * self.height[entries]
        return area, self.index.size[self.image[entries]], self.digest[entries]

    def location(self, entry: int) -> Location:
        """Where an entry's file is."""
        return self.index.location(int(self.image[entry]))


def make_plan(dataset: Dataset, holdout: float, boxes: BoxFile | None) -> Plan:
    """Read the manifest; GanError if a shard lacks an image, or `boxes` is of other pictures."""
    rows = _Rows(boxes)
    for number, (place, picture) in enumerate(dataset.parse_entries(_Picture.of)):
        rows.add(number, place, picture)
    digests, table = rows.tables()
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    again = np.setdiff1d(np.arange(len(digests)), first, assume_unique=True)
    held = held_out(digests, holdout)
    distinct = np.sort(first)
    order = np.concatenate((distinct[~held[distinct]], distinct[held[distinct]]))
    entry_of = np.empty(len(digests), np.int64)
    entry_of[order] = np.arange(len(order))
    same = SameFiles(table[again, 0], table[again, 1], entry_of[first[inverse[again]]])
    index = dataset.index()
    return Plan(
        row=table[order, 0],
        place=table[order, 1],
        digest=digests[order],
        width=table[order, 2].astype(np.int32),
        height=table[order, 3].astype(np.int32),
        image=index.find(digests[order]),
        index=index,
        train=int(np.count_nonzero(~held[distinct])),
        statuses=rows.statuses,
        licences=rows.licences,
        same_files=same,
        noted=rows.noted_by_entry(entry_of[first[inverse]]),
    )


def held_out(digests: NDArray[np.bytes_], share: float) -> NDArray[np.bool_]:
    """Which files are kept out of training, by their sha256 alone: it stays when images are added.

    The last 64 bits decide: collections are often cut by the first digits of a hash, and in such
    a part of one these are no longer evenly spread.
    """
    ends = np.ascontiguousarray(raw(digests)[:, 24:]).view(">u8").ravel()
    return np.asarray(ends.astype(np.float64) / 2.0**64 < share)


def raw(digests: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """(n,) of S32 as (n,32) uint8: NumPy cuts zeros off the end of its strings."""
    return np.ascontiguousarray(digests).view(np.uint8).reshape(-1, 32)


class _Picture(NamedTuple):
    """What the plan needs of a row; a Row takes twice as long to make."""

    status: str
    digest: bytes = b""
    width: int = 0
    height: int = 0
    names: tuple[str, ...] = ()  # sha256 and URL
    licence: str = ""

    @staticmethod
    def of(values: Any) -> "_Picture":
        """From a row's parsed JSON; ValueError, KeyError or TypeError where it is none."""
        status = values["status"]
        if status not in STATUSES:
            raise ValueError(f"unknown status {status!r}")
        if status != "ok":
            return _Picture(status)
        digest = bytes.fromhex(values["sha256"])
        if len(digest) != 32:
            raise ValueError("its sha256 is not 64 hex digits long")
        names = (values["sha256"], values["url"])
        licence = str(values["licence"])
        return _Picture(status, digest, values["width"], values["height"], names, licence)


@dataclass
class _Rows:
    """The rows that have an image, as they are read."""

    boxes: BoxFile | None
    statuses: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    digests: bytearray = field(default_factory=bytearray)
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    noted: dict[int, tuple[Box, ...]] = field(default_factory=dict)

    def add(self, number: int, place: int, picture: _Picture) -> None:
        self.statuses[picture.status] += 1
        if picture.status != "ok":
            return
        self.licences[picture.licence or "unknown"] += 1
        if self.boxes and (noted := self.boxes.of(*picture.names)) is not None:
            self.noted[len(self.numbers) // 4] = noted
        self.digests += picture.digest
        self.numbers.extend((number, place, picture.width, picture.height))

    def tables(self) -> tuple[NDArray[np.bytes_], Integers]:
        """sha256 (raw) of each row, and (rows,4): number, place, width, height."""
        table = np.array(self.numbers, np.int64).reshape(-1, 4)
        return np.array(np.frombuffer(self.digests, np.uint8)).view("S32"), table

    def noted_by_entry(self, entries: Integers) -> dict[int, tuple[Box, ...]] | None:
        """The boxes of each entry: those of its first row that has some."""
        if self.boxes is None:
            return None
        if not self.noted:
            path = self.boxes.path
            raise GanError(f"{path}: names none of the dataset's pictures by sha256 or url")
        found: dict[int, tuple[Box, ...]] = {}
        for row, noted in self.noted.items():
            found.setdefault(int(entries[row]), noted)
        return found
