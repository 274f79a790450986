"""Writes a tensor cache: beside its place, row after row, then put there in one step."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy

from gan.cache import FORMAT, CacheDigest, Images, Split
from gan.errors import GanError
from pipeline.images.decode import FILTER
from pipeline.images.face_box import Box

INDEX_BYTES = 200  # of index.parquet and the reports, for one image, generously
SPARE_BYTES = 1 << 23


@contextmanager
def publishing(folder: Path, images: int, size: int) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place when the block ends well.

    If the block fails, or is interrupted, the new folder is removed and the old one stays as it
    was. Raises GanError, before any work, if `images` pictures of `size` pixels a side would not
    fit on the disk, and when writing fails.
    """
    staging, old = (folder.with_name(folder.name + end) for end in (".staging", ".old"))
    refuse_file(folder)
    try:
        _remove(staging, old)
        staging.mkdir(parents=True)
        _check_space(folder, images, size)
        yield staging
        if folder.exists():
            folder.rename(old)
        staging.rename(folder)
    except OSError as error:
        raise _explain(folder, error) from None
    finally:
        _remove(staging, old)


def refuse_file(folder: Path) -> None:
    """Raise GanError if a file stands where `folder` is to be."""
    if folder.exists() and not folder.is_dir():
        raise GanError(f"{folder}: a file stands where a folder should be; move it away")


class ImageFile:
    """images.npy in the making: rows are appended, the header is written at the end.

    Appended, not mapped: on a full disk a write fails with an error that can be told, where a
    store to a mapped page would kill the process.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._digest = CacheDigest()
        self.rows = 0
        self._write_header()

    def append(self, image: Images) -> None:
        """Add one row, a C-ordered (size,size,3) uint8 array."""
        self._file.write(image.data)
        self._digest.update(image)
        self.rows += 1

    def close(self, settings: Mapping[str, Any], counts: Mapping[str, int]) -> str:
        """Complete the header, bring everything to the disk, and return the cache's digest."""
        end = self._file.tell()
        self._write_header()
        if end != self._file.tell() + self.rows * 3 * self._size**2:
            raise RuntimeError("the header changed its length")
        _flush(self._file)
        return self._digest.close(settings, counts)

    def _write_header(self) -> None:
        # NumPy leaves room in the header for the first axis to grow, so its length stays.
        shape = (self.rows, self._size, self._size, 3)
        self._file.seek(0)
        npy.write_array_header_1_0(
            self._file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )


def write_index(
    folder: Path,
    sha256: Sequence[str],
    rows: Sequence[int],
    splits: Sequence[Split],
    boxes: Sequence[Box | None] | None = None,
) -> None:
    """Write index.parquet: for each cached image its file's sha256, manifest row and split.

    And, in pixels of the source picture, the box of the face it was cut out around: x, y, width,
    height and the detector's score; null where no face was looked for.
    """
    faces = boxes if boxes is not None else [None] * len(rows)
    table = pa.table(
        {
            "sha256": pa.array(sha256, pa.string()),
            "row": pa.array(rows, pa.int64()),
            "split": pa.array(splits, pa.string()),
        }
        | {
            field.name: pa.array(
                [None if box is None else getattr(box, field.name) for box in faces], pa.float64()
            )
            for field in fields(Box)
        }
    )
    with (folder / "index.parquet").open("wb") as file:
        pq.write_table(table, file)
        _flush(file)


def write_meta(
    folder: Path,
    settings: Mapping[str, Any],
    counts: Mapping[str, int],
    snapshot: str,
    digest: str,
    resampling: str = FILTER,
) -> None:
    """Write meta.json, the last file of a cache: everything that decided its bytes."""
    meta = {
        "format": FORMAT,
        "settings": dict(settings),
        "filter": resampling,
        "versions": {"numpy": np.__version__, "pillow": PIL.__version__},
        "snapshot": snapshot,
        "counts": dict(counts),
        "digest": digest,
    }
    with (folder / "meta.json").open("wb") as file:
        file.write(json.dumps(meta, indent=2).encode() + b"\n")
        _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _remove(*folders: Path) -> None:
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)


def _check_space(folder: Path, images: int, size: int) -> None:
    needed = images * (3 * size**2 + INDEX_BYTES) + SPARE_BYTES
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise GanError(
            f"{folder}: needs {needed / 1e9:.2f} GB for {images} images of {size} pixels, the "
            f"disk has {free / 1e9:.2f} GB left; free some space or lower preprocess.size"
        )


def _explain(folder: Path, error: OSError) -> GanError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return GanError(
            f"{folder}: the disk is full ({error.strerror}); free some space and run "
            "`gan preprocess` again, the cache that was there is untouched"
        )
    return GanError(f"{error.filename or folder}: cannot be written: {error.strerror or error}")
