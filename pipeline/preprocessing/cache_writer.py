"""Writing of a tensor cache: a folder that replaces the old one in one step, and its files."""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import features

from gan.atomic import sync_folder, write_atomically
from gan.attributes import Labels
from gan.errors import GanError
from gan.tensor_cache import FORMAT, LABELS

INDEX_BYTES = 400  # of index.parquet and the reports, for one image, generously
SPARE_BYTES = 1 << 23
TYPES = {"sha256": pa.large_string(), "split": pa.large_string(), "pixels": pa.binary(32)}
"""Of the columns of the index that hold no numbers: hex digits, names, raw bytes."""

BLOCKS = 8192  # bytes: of an image between holes, the two blocks in which it begins and ends


@contextmanager
def replace_folder(folder: Path, needed: int) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place when the block succeeds.

    If the block fails, or is interrupted, the new folder is removed and the old one stays as it
    was. Raises GanError, before any work, if the disk has not the bytes that are `needed`, and
    when writing fails.
    """
    staging, old = staging_folder(folder), folder.with_name(folder.name + ".old")
    refuse_file(folder)
    try:
        if old.exists() and not folder.exists():  # killed between the two renames below
            old.rename(folder)
        for stale in (staging, old):
            shutil.rmtree(stale, ignore_errors=True)
        staging.mkdir(parents=True)
        free = shutil.disk_usage(staging).free
        if free < needed:
            raise GanError(
                f"{folder}: needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB left; "
                "free some space or lower preprocess.size"
            )
        yield staging
        sync_folder(staging)
        if folder.exists():
            folder.rename(old)
        staging.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise _explain(folder, error) from None
    finally:
        with suppress(OSError):
            if old.exists() and not folder.exists():  # stopped between the two renames
                old.rename(folder)
        for stale in (staging, old):
            shutil.rmtree(stale, ignore_errors=True)


def staging_folder(folder: Path) -> Path:
    """The folder in which a cache is built before it takes the place of `folder`."""
    return folder.with_name(folder.name + ".staging")


def refuse_file(folder: Path) -> None:
    """Raise GanError if `folder` is a file or a link."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise GanError(f"{folder}: a file or link stands where a folder should be; move it away")


def write_index(folder: Path, blocks: Iterable[Mapping[str, Any]]) -> None:
    """Write index.parquet: columns by name, a value for each image in cache order; NaN is null.

    Each of `blocks` has the same columns, arrays or lists, for the next images; there is at least
    one.
    """
    with (folder / "index.parquet").open("wb") as file:
        tables = map(_table, blocks)
        first = next(tables)
        with pq.ParquetWriter(file, first.schema, write_page_checksum=True) as writer:
            for table in chain((first,), tables):
                writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())


def _table(columns: Mapping[str, Any]) -> pa.Table:
    arrays = (
        pa.array(values, TYPES.get(name), from_pandas=True) for name, values in columns.items()
    )
    return pa.table(dict(zip(columns, arrays, strict=True)))


def write_labels(folder: Path, labels: Labels) -> None:
    """Write labels.npy; nothing if `labels` (N,A) has no column."""
    if labels.shape[1]:
        with (folder / LABELS).open("wb") as file:
            np.save(file, labels, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())


def write_meta(folder: Path, values: Mapping[str, Any]) -> None:
    """Write meta.json, the last file of a cache: `values`, and versions of the libraries."""
    versions = {name: version(name) for name in ("numpy", "pillow", "simplejpeg")}
    versions["libjpeg_turbo"] = str(features.version("libjpeg_turbo"))
    meta = {"format": FORMAT, **values, "versions": versions}
    write_atomically(folder / "meta.json", json.dumps(meta, indent=2) + "\n")


def space_needed(images: int, size: int, slots: int = 1) -> int:
    """Bytes that a cache of `images` images of `size` pixels a side takes while it is built.

    Where a picture has several `slots` and fills one, its image takes whole blocks of the disk,
    and is copied to its row before its slot is freed.
    """
    image = 3 * size**2 if slots == 1 else 2 * 3 * size**2 + BLOCKS
    return images * (image + INDEX_BYTES) + SPARE_BYTES


def describe_space(folder: Path, needed: int, pictures: int, size: int, slots: int) -> str:
    """One line about the space that a cache will take."""
    assumed = "" if slots == 1 else ", if each has one face"
    return (
        f"{folder.name}/: about {needed / 1e9:.2f} GB for {pictures:,} images of {size} "
        f"pixels{assumed}; `dvc repro` keeps a copy, or a link (docs/cache.md)"
    )


def _explain(folder: Path, error: OSError) -> GanError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return GanError(
            f"{folder}: the disk takes no more ({error.strerror}); free some space and run "
            "`gan preprocess` again, the cache that was there is untouched"
        )
    return GanError(f"{error.filename or folder}: cannot be written: {error.strerror or error}")
