"""Choice of images of a tensor cache: evenly, by a column of the index, or by number."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.tensor_cache import TensorCache, damage_error
from pipeline.housekeeping.cache_index import INDEX, number_columns, numbers, read_index
from pipeline.number_ranges import evenly_spaced, parse_ranges

COUNT = 64
MOST = 1024  # a sheet of them still opens in a viewer

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Choice:
    """Options of `gan cache show`."""

    count: int | None = None  # None: COUNT, or all that `rows` names
    split: Literal["train", "holdout", "all"] = "all"
    by: str | None = None  # a column of the index
    first: bool = False  # only the lowest
    last: bool = False  # only the highest
    rows: str | None = None  # cache rows, such as "0-15,99"


@dataclass(frozen=True)
class Chosen:
    """Cache rows in the order of the sheet, and the values that they are sorted by, if any."""

    rows: Rows
    values: NDArray[Any] | None = None


def choose(cache: TensorCache, choice: Choice) -> Chosen:
    """Choose evenly among the images that fit the options; GanError if there are none."""
    if choice.first and choice.last:
        raise GanError("--first and --last exclude each other; leave both out to see all between")
    if choice.by is None and (choice.first or choice.last):
        raise GanError("--first and --last go with --by COLUMN; add it")
    pool = _pool(cache, choice)
    count = choice.count or (len(pool) if choice.rows else COUNT)
    if choice.by is None:
        return Chosen(pool[evenly_spaced(len(pool), count)])
    values = _values(cache, choice.by)[pool]
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        raise GanError(
            f"{cache.folder}: {choice.by} was not measured for these images; choose another --by"
        )
    order = known[np.argsort(values[known], kind="stable")]
    if choice.first:
        order = order[:count]
    elif choice.last:
        order = order[-count:]
    else:
        order = order[evenly_spaced(len(order), count)]
    return Chosen(pool[order], values[order])


def _pool(cache: TensorCache, choice: Choice) -> Rows:
    """The cache rows to choose from."""
    count, train = len(cache.images), cache.meta["counts"]["train"]
    if choice.rows is not None:
        return _parse_rows(choice, count)
    pool = {"train": (0, train), "holdout": (train, count), "all": (0, count)}[choice.split]
    if pool[0] == pool[1]:
        raise GanError(f"{cache.folder}: no image is in the split {choice.split}; take another")
    return np.arange(*pool)


def _parse_rows(choice: Choice, count: int) -> Rows:
    text = choice.rows or ""
    if choice.split != "all":
        raise GanError("--rows names cache rows of any split; leave --split out")
    rows = np.array(parse_ranges(text, "--rows", MOST))
    if rows.max() >= count:
        raise GanError(f"--rows {text!r}: no row {rows.max()}; the cache has rows 0-{count - 1}")
    return rows


def _values(cache: TensorCache, column: str) -> NDArray[Any]:
    columns = number_columns(cache.folder)
    if column not in columns:
        raise GanError(f"--by {column}: no column of numbers; choose one of {', '.join(columns)}")
    values = numbers(read_index(cache.folder, (column,)), column)
    if len(values) != len(cache.images):
        raise damage_error(
            cache.folder, f"{INDEX} lists {len(values):,} images of {len(cache.images):,}"
        )
    return values
