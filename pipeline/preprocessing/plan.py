"""Plan of preprocess: the distinct picture files of a dataset, those of the train split first.

Arrays rather than objects: a million manifest entries as Python objects take gigabytes.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan.attributes import Labels
from gan.errors import GanError
from gan.params.data import AttributesParams
from pipeline.dataset.attributes import TaggedPictures
from pipeline.dataset.manifest import STATUSES
from pipeline.dataset.reader import Dataset
from pipeline.dataset.shards import ImageIndex
from pipeline.faces.box import Box
from pipeline.preprocessing.faces.box_file import Boxes

Integers = NDArray[np.int64]

ENTRY_DTYPE = np.dtype([(name, "i8") for name in ("entry", "offset", "width", "height")])
"""Of a manifest entry with an image: its number, its place in the manifest, the picture's size."""


@dataclass(frozen=True)
class Plan:
    """Distinct picture files in cache order, one element of each array for each.

    `entries` are the first ones, of ENTRY_DTYPE, with these files, `image` their numbers in
    `index`. The first `train` pictures are the train split. Later entries with the same file are
    in `same_files`, and their pictures in `same_pictures`. `labels` (n, A) are of all attributes
    that the settings define.
    """

    entries: NDArray[np.void]
    digest: NDArray[np.bytes_]
    image: Integers
    index: ImageIndex
    train: int
    statuses: Counter[str]
    licences: Counter[str]
    same_files: NDArray[np.void]
    same_pictures: Integers
    listed_boxes: dict[int, tuple[Box, ...]]  # of pictures that a box file lists
    labels: Labels

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, picture: int) -> bytes:
        """The file of a picture."""
        return self.index.read_image(int(self.image[picture]))


def make_plan(
    dataset: Dataset, holdout: float, boxes: Boxes | None, attributes: AttributesParams
) -> Plan:
    """Read the manifest; GanError if a shard lacks an image, or `boxes` lists other pictures."""
    statuses, licences = Counter[str](), Counter[str]()
    numbers, raw_digests = array("q"), bytearray()
    boxes_of: dict[int, tuple[Box, ...]] = {}
    tagged = TaggedPictures(attributes)
    for number, (offset, entry) in enumerate(dataset.parse_entries(_Entry.from_json)):
        statuses[entry.status] += 1
        if entry.status != "ok":
            continue
        licences[entry.licence or "unknown"] += 1
        tagged.add(entry.tags)
        if boxes:
            listed = boxes.get(entry.digest.hex(), boxes.get(entry.url))
            if listed is not None:
                boxes_of[len(numbers) // 4] = listed
        raw_digests += entry.digest
        numbers.extend((number, offset, entry.width, entry.height))
    if boxes and not boxes_of:
        raise GanError(
            "preprocess.faces.file names none of the dataset's pictures by sha256 or url; let "
            "your tool run on the pictures in data/"
        )
    entries = np.array(numbers, np.int64).view(ENTRY_DTYPE)
    digests = np.array(np.frombuffer(raw_digests, np.uint8)).view("S32")
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    in_holdout = is_held_out(digests, holdout)
    distinct = np.sort(first)
    order = np.concatenate((distinct[~in_holdout[distinct]], distinct[in_holdout[distinct]]))
    picture_of = np.empty(len(digests), np.int64)
    picture_of[order] = np.arange(len(order))
    picture_of = picture_of[first[inverse]]
    again = np.setdiff1d(np.arange(len(digests)), first, assume_unique=True)
    index = dataset.index()
    return Plan(
        entries=entries[order],
        digest=digests[order],
        image=index.find(digests[order]),
        index=index,
        train=int(np.count_nonzero(~in_holdout[distinct])),
        statuses=statuses,
        licences=licences,
        same_files=entries[again],
        same_pictures=picture_of[again],
        # the first entry with a picture that is listed counts
        listed_boxes={int(picture_of[n]): boxes_of[n] for n in sorted(boxes_of, reverse=True)},
        labels=tagged.label(picture_of, len(order)),
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
    url: str = ""
    licence: str = ""
    tags: Sequence[str] = ()

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
        width, height, url = values["width"], values["height"], values["url"]
        licence, tags = str(values["licence"]), tuple(map(str, values["tags"]))
        return _Entry(status, digest, width, height, url, licence, tags)
