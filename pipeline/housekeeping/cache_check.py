"""Verification of a tensor cache: index against images, pixels against digests."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gan.tensor_cache import TensorCache, cache_digest, damage_error
from pipeline.console import progress
from pipeline.housekeeping.cache_index import INDEX, digests, numbers, read_index

MOST_NAMED = 5  # rows in a message
SHA256 = "^[0-9a-f]{64}$"
COLUMNS = {"row": pa.int64(), "sha256": pa.string(), "split": pa.string(), "pixels": pa.binary(32)}

Rows = NDArray[np.intp]


def check(cache: TensorCache) -> None:
    """Read all of a cache, block by block; GanError naming what is damaged."""
    index = _read(cache.folder)
    _check_index(cache, index)
    listed = digests(index, "pixels")
    count, read = len(cache.images), []
    with progress("cache verify", count) as advance:
        done = 0
        for some in cache.iter_pixel_digests():
            read.append(some)
            done += len(some)
            if done < count:
                advance(done, "")
        _check_pixels(cache, np.concatenate(read), listed)
        advance(count, "")  # only now: the log of a damaged cache does not end with all images


def _read(folder: Path) -> pa.Table:
    index = read_index(folder, tuple(COLUMNS))
    columns = {}
    for name, kind in COLUMNS.items():
        try:
            columns[name] = index[name].cast(kind)
        except pa.ArrowException:
            raise damage_error(folder, f"{INDEX}: column {name} is not of {kind}") from None
        if columns[name].null_count:
            raise damage_error(folder, f"{INDEX}: column {name} has gaps")
    return pa.table(columns)


def _check_index(cache: TensorCache, index: pa.Table) -> None:
    if len(index) != len(cache.images):
        raise damage_error(
            cache.folder,
            f"{INDEX} lists {len(index):,} images, images.npy holds {len(cache.images):,}",
        )
    train = np.arange(len(index)) < cache.meta["counts"]["train"]
    splits = pa.array(np.where(train, "train", "holdout"))
    for column, allowed, fault in (
        ("split", pc.equal(index["split"], splits), "another split than meta.json says"),
        ("sha256", pc.match_substring_regex(index["sha256"], SHA256), "no sha256 of a file"),
        ("row", pc.greater_equal(index["row"], 0), "no index of a manifest entry"),
    ):
        wrong = np.flatnonzero(~allowed.to_numpy())
        if wrong.size:
            raise damage_error(
                cache.folder, f"{INDEX}, column {column}: {fault} in {_name_rows(wrong)}"
            )
    _check_files(cache.folder, index)


def _check_files(folder: Path, index: pa.Table) -> None:
    """Check that each file is one manifest entry, in one split."""
    rows = numbers(index, "row")
    files = pa.concat_arrays(index["sha256"].chunks).dictionary_encode().indices.to_numpy()
    splits = pc.equal(index["split"], "train").to_numpy()
    for keys, values, fault in (
        (files, rows, "a file that is also another manifest entry"),
        (rows, files, "a manifest entry that is also another file"),
        (files, splits, "a file that is also in the other split"),
    ):
        wrong = _find_conflicts(keys, values)
        if wrong.size:
            raise damage_error(folder, f"{INDEX} has {fault} in {_name_rows(wrong)}")


def _find_conflicts(keys: NDArray[np.generic], values: NDArray[np.generic]) -> Rows:
    """Places where the value differs from that of the first place with the same key."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return np.flatnonzero(values != values[first][group])


def _check_pixels(
    cache: TensorCache, computed: NDArray[np.uint8], listed: NDArray[np.uint8]
) -> None:
    """Compare digests of images.npy, the index and meta.json; GanError naming the one file that
    differs from the other two."""
    meta = cache.meta
    wrong = np.flatnonzero((computed != listed).any(axis=1))
    if cache_digest(computed, meta["settings"], meta["counts"]) == cache.digest:
        if wrong.size:
            raise damage_error(
                cache.folder, f"{INDEX}: other digests than the images' in {_name_rows(wrong)}"
            )
    elif not wrong.size:
        raise damage_error(
            cache.folder, "meta.json: its digest is not that of the images, settings and counts"
        )
    elif cache_digest(listed, meta["settings"], meta["counts"]) == cache.digest:
        raise damage_error(
            cache.folder, f"images.npy: other pixels than were written in {_name_rows(wrong)}"
        )
    else:
        raise damage_error(
            cache.folder,
            f"images.npy, {INDEX} and meta.json do not agree; pixels of {_name_rows(wrong)}",
        )


def _name_rows(rows: Rows) -> str:
    if len(rows) == 1:
        return f"row {rows[0]}"
    more = ", ..." if len(rows) > MOST_NAMED else ""
    return f"{len(rows):,} rows: {', '.join(map(str, rows[:MOST_NAMED]))}{more}"
