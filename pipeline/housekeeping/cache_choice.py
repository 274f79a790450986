"""Which images of a tensor cache a sheet shows: evenly, by a column of the index, or by number."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.tensor_cache import TensorCache, damage_error
from pipeline.housekeeping.cache_index import INDEX, number_columns, numbers, read_index
from pipeline.number_ranges import parse_ranges

COUNT = 64
MOST = 1024  # a sheet of them still opens in a viewer

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Choice:
    """What a person asked to see."""

    count: int | None = None  # None: COUNT, or all that `rows` names
    split: Literal["train", "holdout", "all"] = "all"
    by: str | None = None  # a column of the index
    first: bool = False  # only the lowest
    last: bool = False  # only the highest
    rows: str | None = None  # cache rows, such as "0-15,99"


@dataclass(frozen=True)
class Chosen:
    """Cache rows in the order shown, and of each the value that they are sorted by, if any."""

    rows: Rows
    values: NDArray[Any] | None = None


def choose(cache: TensorCache, choice: Choice) -> Chosen:
    """The images to show, evenly from all that are asked for; GanError if there are none."""
    if choice.first and choice.last:
        raise GanError("--first and --last exclude each other; leave both out to see all between")
    if choice.by is None and (choice.first or choice.last):
        raise GanError("--first and --last go with --by COLUMN")
    pool = _pool(cache, choice)
    count = choice.count or (len(pool) if choice.rows else COUNT)
    if choice.by is None:
        return Chosen(pool[_evenly(len(pool), count)])
    values = _values(cache, choice.by)[pool]
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        raise GanError(f"{cache.folder}: {choice.by} was not measured for these images")
    order = known[np.argsort(values[known], kind="stable")]
    if choice.first:
        order = order[:count]
    elif choice.last:
        order = order[-count:]
    else:
        order = order[_evenly(len(order), count)]
    return Chosen(pool[order], values[order])


def _evenly(length: int, count: int) -> Rows:
    """Places of at most `count` of `length`, the first and the last among them."""
    shown = min(count, length)
    return np.arange(shown) * (length - 1) // max(1, shown - 1)


def _pool(cache: TensorCache, choice: Choice) -> Rows:
    """The cache rows to choose from."""
    count, train = len(cache.images), cache.meta["counts"]["train"]
    if choice.rows is not None:
        return _named(choice, count)
    pool = {"train": (0, train), "holdout": (train, count), "all": (0, count)}[choice.split]
    if pool[0] == pool[1]:
        raise GanError(f"{cache.folder}: no image is in the split {choice.split}; take another")
    return np.arange(*pool)


def _named(choice: Choice, count: int) -> Rows:
    text = choice.rows or ""
    if choice.split != "all":
        raise GanError("--rows names cache rows of any split; leave --split out")
    rows = np.array(parse_ranges(text, "--rows", MOST))
    if rows.max() >= count:
        raise GanError(f"--rows {text!r}: no row {rows.max()}; the cache has rows 0-{count - 1}")
    return rows


def _values(cache: TensorCache, column: str) -> NDArray[Any]:
    there = number_columns(cache.folder)
    if column not in there:
        raise GanError(f"--by {column}: no column of numbers; there are {', '.join(there)}")
    values = numbers(read_index(cache.folder, (column,)), column)
    if len(values) != len(cache.images):
        raise damage_error(
            cache.folder, f"{INDEX} lists {len(values):,} images of {len(cache.images):,}"
        )
    return values
