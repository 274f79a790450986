"""Search for pairs of near 64-bit hashes: exact, by bands, in about n log n.

Cut into `distance + 2` bands, two hashes within `distance` agree on at least 2 of them. So one
table for each choice of 2 bands, sorted by those, brings every near pair together. More bands a
choice would mean more tables with shorter runs: no faster for a million hashes and `distance` 4.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError

MOST_PAIRS = 20_000_000  # about 600 MB of memory
CHUNK = 1 << 20  # pairs handled at a time
BITS = 64
LOWER = 0xFFFFFFFF
CHOSEN = 2  # bands on which the words of a table agree
STRIDE = 11  # neighbouring bits of a hash are correlated: bands take distant ones

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Pairs = tuple[Ints, Ints]
A = TypeVar("A", bound=np.generic)
B = TypeVar("B", bound=np.generic)


def find_near_pairs(hashes: Hashes, distance: int) -> Iterator[Pairs]:
    """All pairs a < b of places whose hashes differ in at most `distance` bits, in chunks.

    Each pair once, in no order.
    """
    hashes = _spread(hashes)
    order = np.argsort(hashes, kind="stable")
    values, first, counts = np.unique(hashes[order], return_index=True, return_counts=True)
    for left, right in _equal_pairs(hashes[order]):
        yield order[left], order[right]  # in order, as the sort is stable
    for one, other in _value_pairs(values, distance):
        for left, right in _products(first, counts, one, other):
            a, b = order[left], order[right]
            yield np.minimum(a, b), np.maximum(a, b)


def limit_pairs(chunks: Iterable[Pairs]) -> Iterator[Pairs]:
    """The same chunks; GanError once there are more than MOST_PAIRS pairs."""
    count = 0
    for chunk in chunks:
        count += len(chunk[0])
        if count > MOST_PAIRS:
            raise GanError(
                f"over {MOST_PAIRS:,} pairs of avatars look the same: lower"
                " preprocess.duplicates.dhash, or let preprocess.filters drop plain pictures"
            )
        yield chunk


def pack(chunks: Iterable[Pairs]) -> Hashes:
    """Sort all pairs as numbers: a in the upper half, b in the lower."""
    parts = [(a.astype(np.uint64) << 32) | b.astype(np.uint64) for a, b in chunks]
    packed = np.concatenate([np.empty(0, np.uint64), *parts])
    packed.sort()
    return packed


def unpack(packed: Hashes) -> Pairs:
    """Pairs from the numbers of `pack`."""
    return (packed >> 32).view(np.int64), (packed & LOWER).view(np.int64)


def _spread(hashes: Hashes) -> Hashes:
    """Hashes with their bits in another order; distances are the same."""
    spread = np.zeros_like(hashes)
    for place in range(BITS):
        spread |= ((hashes >> (place * STRIDE % BITS)) & 1) << place
    return spread


@dataclass(frozen=True, slots=True)
class _Table:
    """A choice of bands: words are hashes with the bands in another order.

    `bands` as (place, width), the chosen ones first: a word holds them from the top. `free` bits
    lie below the chosen ones. A pair that agrees on more bands than chosen belongs to the table of
    the first ones, so it must differ wherever a mask of `passed` has its bits.
    """

    bands: tuple[tuple[int, int], ...]
    free: int
    passed: tuple[int, ...]

    def words(self, hashes: Hashes) -> Hashes:
        words = np.zeros_like(hashes)
        for place, width in self.bands:
            words <<= width
            words |= (hashes >> place) & ((1 << width) - 1)
        return words

    def hashes(self, words: Hashes) -> Hashes:
        hashes, left = np.zeros_like(words), words.copy()
        for place, width in reversed(self.bands):
            hashes |= (left & ((1 << width) - 1)) << place
            left >>= width
        return hashes

    def owns(self, diff: Hashes) -> NDArray[np.bool_]:
        """Whether pairs that differ in `diff` belong to this table."""
        own = np.ones(len(diff), np.bool_)
        for mask in self.passed:
            own &= (diff & mask) != 0
        return own


def _tables(distance: int) -> Iterator[_Table]:
    count = distance + CHOSEN
    edges = [BITS * band // count for band in range(count + 1)]
    widths = [after - before for before, after in pairwise(edges)]
    for key in combinations(range(count), CHOSEN):
        rest = [band for band in range(count) if band not in key]
        free = place = sum(widths[band] for band in rest)
        passed = []
        for band in (band for band in rest if band < key[-1]):
            place -= widths[band]
            passed.append(((1 << widths[band]) - 1) << place)
        yield _Table(
            tuple((edges[band], widths[band]) for band in (*key, *rest)), free, tuple(passed)
        )


def _value_pairs(values: Hashes, distance: int) -> Iterator[Pairs]:
    """Pairs of places in `values`, which are in order and distinct."""
    if distance == 0:
        return
    for table in _tables(distance):
        for word, diff in _batches(_table_hits(table, values, distance)):
            own = table.owns(diff)
            left, right = table.hashes(word[own]), table.hashes((word ^ diff)[own])
            yield np.searchsorted(values, left), np.searchsorted(values, right)


def _table_hits(table: _Table, values: Hashes, distance: int) -> Iterator[tuple[Hashes, Hashes]]:
    """Hashes of a table that have a near one after them, and the bits in which the two differ."""
    words = table.words(values)
    words.sort()
    for left, _, diff in _runs(words, table.free):
        hit = np.bitwise_count(diff) <= distance
        yield words[left[hit]], diff[hit]


def _equal_pairs(ordered: Hashes) -> Iterator[Pairs]:
    return _batches((left, right) for left, right, _ in _runs(ordered, 0))


def _runs(words: Hashes, free: int) -> Iterator[tuple[Ints, Ints, Hashes]]:
    """Places of all pairs that agree above the `free` bits, and the bits in which they differ.

    Neighbours first, then places two apart, and so on, until all runs have ended.
    """
    left, diff = np.arange(len(words) - 1), words[1:] ^ words[:-1]
    step = 1
    while left.size:
        same = diff <= (1 << free) - 1
        left, diff = left[same], diff[same]
        yield left, left + step, diff
        step += 1
        left = left[: np.searchsorted(left, len(words) - step)]
        diff = words[left] ^ words[left + step]


def _products(first: Ints, counts: Ints, one: Ints, other: Ints) -> Iterator[Pairs]:
    """Every place of the one value with every place of the other, for pairs of values.

    The places of a value are `counts` many from its `first` on.
    """
    sizes = counts[one] * counts[other]
    ends = np.cumsum(sizes)
    for low in range(0, int(sizes.sum()), CHUNK):
        number = np.arange(low, min(low + CHUNK, ends[-1]))
        pair = np.searchsorted(ends, number, side="right")
        row, column = np.divmod(number - (ends - sizes)[pair], counts[other[pair]])
        yield first[one[pair]] + row, first[other[pair]] + column


def _batches(
    parts: Iterable[tuple[NDArray[A], NDArray[B]]],
) -> Iterator[tuple[NDArray[A], NDArray[B]]]:
    """Join many small parts into few large ones."""
    waiting: list[tuple[NDArray[A], NDArray[B]]] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part[0])
        if count >= CHUNK:
            yield _join(waiting)
            waiting, count = [], 0
    if waiting:
        yield _join(waiting)


def _join(parts: list[tuple[NDArray[A], NDArray[B]]]) -> tuple[NDArray[A], NDArray[B]]:
    return np.concatenate([one for one, _ in parts]), np.concatenate([two for _, two in parts])
