"""Slots of images.npy while it is built: any process writes any image, in any order.

Written, not mapped: on a full disk a write fails with an error that can be reported, where a
store to a mapped page would kill the process. Empty slots are holes in the file, which take no
space; at the end the last images are moved into them.
"""

import io
import os
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from gan.tensor_cache import Images

Integers = NDArray[np.int64]


class StagedImages:
    """A file of images of `size` pixels a side, open for reading and writing in many processes.

    One process opens it with `create`. The others must not create it: that one may have failed
    and removed the folder.
    """

    def __init__(self, path: Path, size: int, *, create: bool = False) -> None:
        self.path, self.size = path, size
        self.image_bytes = 3 * size * size
        self._start = len(_header(0, size))
        self._file = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o644)

    def close(self) -> None:
        os.close(self._file)

    def write(self, slots: Integers, images: Images) -> None:
        """Put (n,S,S,3) images, C-ordered, into `slots`, (n,) ascending; neighbours at once."""
        for run in np.split(np.arange(len(slots)), np.flatnonzero(np.diff(slots) != 1) + 1):
            self._write(self._place(int(slots[run[0]])), images[run[0] : run[-1] + 1])

    def read(self, slot: int) -> Images:
        """Read the (S,S,3) image in a slot; black if nothing was written there."""
        data = os.pread(self._file, self.image_bytes, self._place(slot))
        data = data.ljust(self.image_bytes, b"\0")
        return np.frombuffer(data, np.uint8).reshape(self.size, self.size, 3)

    def close_holes(self, slots: Integers) -> None:
        """Move the image in `slots[i]` to row i, cut the rest off, and flush all to the disk.

        `slots` comes from `arrange_rows`: no image is overwritten before it has been moved.
        """
        for row in np.flatnonzero(slots != np.arange(len(slots))):
            self._write(self._place(int(row)), self.read(int(slots[row])))
        os.ftruncate(self._file, self._place(len(slots)))
        self._write(0, np.frombuffer(_header(len(slots), self.size), np.uint8))
        os.fsync(self._file)

    def _place(self, slot: int) -> int:
        return self._start + slot * self.image_bytes

    def _write(self, place: int, data: NDArray[np.uint8]) -> None:
        rest = np.ascontiguousarray(data).data.cast("B")
        while rest:  # on a disk that gets full a write is partial, and the next one fails
            written = os.pwrite(self._file, rest, place)
            rest, place = rest[written:], place + written


def arrange_rows(train: Integers, holdout: Integers) -> Integers:
    """For each row of the cache, train first, the slot of the image that becomes it.

    `train` and `holdout` are ascending slots, and every slot of holdout lies behind all of train.
    An image whose slot is a row of its split stays there; the others fill the holes.
    """
    split = len(train)
    total = split + len(holdout)
    return np.concatenate((_fill(train, 0, split), _fill(holdout, split, total)))


def _fill(slots: Integers, start: int, end: int) -> Integers:
    stays = (slots >= start) & (slots < end)
    rows = np.arange(start, end)
    rows[np.setdiff1d(rows, slots[stays], assume_unique=True) - start] = slots[~stays]
    return rows


def _header(rows: int, size: int) -> bytes:
    # NumPy leaves room for the first axis to grow, so the length is the same for any number
    stream = io.BytesIO()
    shape = (rows, size, size, 3)
    npy.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()
