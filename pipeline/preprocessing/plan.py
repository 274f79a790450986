"""Plan of preprocess: the distinct picture files of a dataset, those of the train split first.

Arrays rather than objects: a million manifest entries as Python objects take gigabytes.
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
    """Manifest entries whose file an earlier entry has: number, offset, picture of the plan."""

    entry: Integers
    manifest_offset: Integers
    picture: Integers


@dataclass(frozen=True)
class Plan:
    """Distinct picture files in cache order, one element of each array for each.

    `entry` is the number of the first manifest entry with this file, `manifest_offset` where it
    is found, `image` the number in `index`. The first `train` pictures are the train split.
    """

    entry: Integers
    manifest_offset: Integers
    digest: NDArray[np.bytes_]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    image: Integers
    index: ImageIndex
    train: int
    statuses: Counter[str]
    licences: Counter[str]
    same_files: SameFiles
    listed_boxes: dict[int, tuple[Box, ...]] | None = None  # of pictures listed in a box file

    def __len__(self) -> int:
        return len(self.entry)

    def sizes(self, pictures: Integers) -> tuple[Integers, Integers, NDArray[np.bytes_]]:
        """Pixels, bytes of the file and sha256 of pictures, by which they are preferred."""
        area = self.width[pictures].astype(np.int64) * self.height[pictures]
        return area, self.index.size[self.image[pictures]], self.digest[pictures]

    def location(self, picture: int) -> Location:
        """Where a picture's file lies."""
        return self.index.location(int(self.image[picture]))


def make_plan(dataset: Dataset, holdout: float, boxes: BoxFile | None) -> Plan:
    """Read the manifest; GanError if a shard lacks an image, or `boxes` lists other pictures."""
    images = _ImageEntries(boxes)
    for number, (offset, entry) in enumerate(dataset.parse_entries(_Entry.from_json)):
        images.add(number, offset, entry)
    digests, table = images.arrays()
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    again = np.setdiff1d(np.arange(len(digests)), first, assume_unique=True)
    in_holdout = is_held_out(digests, holdout)
    distinct = np.sort(first)
    order = np.concatenate((distinct[~in_holdout[distinct]], distinct[in_holdout[distinct]]))
    picture_of = np.empty(len(digests), np.int64)
    picture_of[order] = np.arange(len(order))
    same = SameFiles(table[again, 0], table[again, 1], picture_of[first[inverse[again]]])
    index = dataset.index()
    return Plan(
        entry=table[order, 0],
        manifest_offset=table[order, 1],
        digest=digests[order],
        width=table[order, 2].astype(np.int32),
        height=table[order, 3].astype(np.int32),
        image=index.find(digests[order]),
        index=index,
        train=int(np.count_nonzero(~in_holdout[distinct])),
        statuses=images.statuses,
        licences=images.licences,
        same_files=same,
        listed_boxes=images.boxes_by_picture(picture_of[first[inverse]]),
    )


def is_held_out(digests: NDArray[np.bytes_], share: float) -> NDArray[np.bool_]:
    """Whether each file belongs to the hold-out split, by its sha256 alone.

    So it stays on its side when images are added. The last 64 bits decide: collections are often
    cut by the first digits of a hash, and within such a part these are not evenly spread.
    """
    ends = np.ascontiguousarray(digest_bytes(digests)[:, 24:]).view(">u8").ravel()
    return np.asarray(ends.astype(np.float64) / 2.0**64 < share)


def digest_bytes(digests: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """(n,) of S32 as (n,32) uint8: NumPy cuts zeros off the end of its strings."""
    return np.ascontiguousarray(digests).view(np.uint8).reshape(-1, 32)


class _Entry(NamedTuple):
    """The fields of a manifest entry that a plan needs; building all takes twice as long."""

    status: str
    digest: bytes = b""
    width: int = 0
    height: int = 0
    names: tuple[str, ...] = ()  # sha256 and URL
    licence: str = ""

    @staticmethod
    def from_json(values: Any) -> "_Entry":
        """Build from parsed JSON; ValueError, KeyError or TypeError if it is no manifest entry."""
        status = values["status"]
        if status not in STATUSES:
            raise ValueError(f"unknown status {status!r}")
        if status != "ok":
            return _Entry(status)
        digest = bytes.fromhex(values["sha256"])
        if len(digest) != 32:
            raise ValueError("its sha256 is not 64 hex digits long")
        names = (values["sha256"], values["url"])
        licence = str(values["licence"])
        return _Entry(status, digest, values["width"], values["height"], names, licence)


@dataclass
class _ImageEntries:
    """Collector of the manifest entries that have an image."""

    box_file: BoxFile | None
    statuses: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    digests: bytearray = field(default_factory=bytearray)
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    boxes: dict[int, tuple[Box, ...]] = field(default_factory=dict)

    def add(self, number: int, offset: int, entry: _Entry) -> None:
        self.statuses[entry.status] += 1
        if entry.status != "ok":
            return
        self.licences[entry.licence or "unknown"] += 1
        if self.box_file and (boxes := self.box_file.find(*entry.names)) is not None:
            self.boxes[len(self.numbers) // 4] = boxes
        self.digests += entry.digest
        self.numbers.extend((number, offset, entry.width, entry.height))

    def arrays(self) -> tuple[NDArray[np.bytes_], Integers]:
        """sha256 (S32) of each entry, and (entries,4): number, offset, width, height."""
        table = np.array(self.numbers, np.int64).reshape(-1, 4)
        return np.array(np.frombuffer(self.digests, np.uint8)).view("S32"), table

    def boxes_by_picture(self, pictures: Integers) -> dict[int, tuple[Box, ...]] | None:
        """The boxes of each picture: those of its first entry that is listed.

        `pictures` are those of the entries.
        """
        if self.box_file is None:
            return None
        if not self.boxes:
            path = self.box_file.path
            raise GanError(f"{path}: names none of the dataset's pictures by sha256 or url")
        by_picture: dict[int, tuple[Box, ...]] = {}
        for place, boxes in self.boxes.items():
            by_picture.setdefault(int(pictures[place]), boxes)
        return by_picture
