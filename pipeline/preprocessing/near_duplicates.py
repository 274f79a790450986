"""Near-duplicates by two perceptual hashes: leader clustering, so that there are no chains.

An avatar is dropped if a kept one before it is near, so that it looks like the one that is kept
for it. One that is near to dropped ones only is kept.
"""

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError

MOST_PAIRS = 20_000_000  # about 700 MB of memory
BITS = 64
STRIDE = 11  # neighbouring bits of a hash are correlated: bands take distant ones
NOT_COMPUTED = -1  # in the place of a distance
FAR = 2**15 - 1
HALF, LOWER = 32, 0xFFFFFFFF  # two places make one number of 64 bits

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Pairs = tuple[Ints, Ints]
Distances = NDArray[np.int16]
ComputePhashes = Callable[[Ints], Hashes]


def group_near_duplicates(
    dhash: Hashes, most_dhash: int, most_phash: int, compute_phashes: ComputePhashes
) -> tuple[Ints, Distances, Distances]:
    """Group (n,) avatars, given in order of preference, best first, by limits on both distances.

    Returns for each the one that is kept for it (itself if kept), and both distances to that: 0
    for kept ones; the phash distance is NOT_COMPUTED where the limits use none. A dropped one
    belongs to the nearest kept one before it: smallest dhash, then phash distance, then the first.
    `compute_phashes` is called once, with the numbers, ascending, of those that have a near dhash;
    for a limit of 64 it is not. Raises GanError where there are too many near pairs to hold.
    """
    neighbours = _Neighbours(dhash, most_dhash)
    candidates = neighbours.candidates
    phash = np.zeros_like(dhash)
    if most_phash < BITS and candidates.size:
        phash[candidates] = compute_phashes(candidates)
    leader = np.arange(len(dhash))
    nearest = np.full(len(dhash), FAR, np.int16)
    for avatar in candidates.tolist():
        if leader[avatar] == avatar:  # kept: it may lead those that come after it
            near = neighbours.find(avatar)
            near = near[near > avatar]
            confirmed = _distance(phash[near], phash[avatar])
            distance = _distance(dhash[near], dhash[avatar]) * 2 * BITS + confirmed
            closer = (confirmed <= most_phash) & (distance < nearest[near])
            leader[near[closer]], nearest[near[closer]] = avatar, distance[closer]
    apart = _distance(phash, phash[leader])
    if most_phash >= BITS:
        apart[leader != np.arange(len(leader))] = NOT_COMPUTED
    return leader, _distance(dhash, dhash[leader]), apart


def _distance(one: Hashes, other: Hashes) -> Distances:
    return np.asarray(np.bitwise_count(one ^ other), np.int16)


class _Neighbours:
    """Avatars by their hashes, so that those with an equal or near one are found at once."""

    def __init__(self, dhash: Hashes, distance: int) -> None:
        values, self._value, self._counts = np.unique(
            dhash, return_inverse=True, return_counts=True
        )
        self._avatars = np.argsort(self._value, kind="stable")  # of each value in turn
        self._ends = np.cumsum(self._counts)
        parts = [np.empty(0, np.int64)]
        for one, other in find_near_pairs(values, distance):
            parts += [(one << HALF) | other, (other << HALF) | one]
        self._pairs = np.concatenate(parts)  # in both directions, the one in the upper half
        self._pairs.sort()
        starts = np.arange(len(values) + 1) << HALF
        self._pair_starts = np.searchsorted(self._pairs, starts)

    @property
    def candidates(self) -> Ints:
        """Avatars that have an equal or near one."""
        alike = (self._counts > 1) | (np.diff(self._pair_starts) > 0)
        return np.flatnonzero(alike[self._value])

    def find(self, avatar: int) -> Ints:
        """Avatars whose hash equals that of `avatar` or is near to it, in no order."""
        value = self._value[avatar]
        pairs = self._pairs[self._pair_starts[value] : self._pair_starts[value + 1]]
        near = (value, *(pairs & LOWER).tolist())
        parts = [self._avatars[self._ends[v] - self._counts[v] : self._ends[v]] for v in near]
        return np.concatenate(parts)


def find_near_pairs(hashes: Hashes, distance: int) -> Iterator[Pairs]:
    """Pairs of places whose hashes differ in at most `distance` bits, in parts, each pair once.

    Exact, in about n log n: cut into `distance + 2` bands, two such hashes agree on at least two
    of them. So the hashes are sorted by each choice of two bands. A pair that agrees on more of
    them belongs to the first two. Raises GanError where there are more than MOST_PAIRS.
    """
    bands, found = _cut_bands(distance + 2), 0
    for one, other in combinations(range(len(bands)), 2):
        for left, right in _find_agreeing(hashes, bands[one] | bands[other], distance):
            own = np.ones(len(left), np.bool_)
            for band in (*bands[:one], *bands[one + 1 : other]):
                own &= (hashes[left] ^ hashes[right]) & band != 0
            found += int(np.count_nonzero(own))
            if found > MOST_PAIRS:
                raise GanError(
                    f"over {MOST_PAIRS:,} pairs of avatars look the same: lower"
                    " preprocess.duplicates.dhash, or let preprocess.filters drop plain pictures"
                )
            yield left[own], right[own]


def _cut_bands(count: int) -> list[np.uint64]:
    """Masks of bands of a hash: each bit is in one of them."""
    edges = [BITS * band // count for band in range(count + 1)]
    places = [STRIDE * number % BITS for number in range(BITS)]
    return [np.uint64(sum(1 << p for p in places[a:b])) for a, b in pairwise(edges)]


def _find_agreeing(hashes: Hashes, chosen: np.uint64, distance: int) -> Iterator[Pairs]:
    """Pairs of places that agree on the `chosen` bits and differ in at most `distance` others.

    Neighbours in the order by these bits first, then places two apart, until all runs have ended.
    """
    order = np.argsort(hashes & chosen)
    words = hashes[order]
    left, diff, step = np.arange(len(words) - 1), words[1:] ^ words[:-1], 1
    while left.size:
        same = diff & chosen == 0
        left, diff = left[same], diff[same]
        near = left[np.bitwise_count(diff) <= distance]
        if near.size:
            yield order[near], order[near + step]
        step += 1
        left = left[: np.searchsorted(left, len(words) - step)]
        diff = words[left] ^ words[left + step]
