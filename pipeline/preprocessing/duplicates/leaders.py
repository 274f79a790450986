"""Near-duplicates by two perceptual hashes: leader clustering, so that there are no chains.

An avatar is dropped if a kept one before it is near, so that it looks like the one that is kept
for it. One that is near to dropped ones only is kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from pipeline.preprocessing.duplicates.hamming_search import (
    BITS,
    CHUNK,
    LOWER,
    Hashes,
    Ints,
    Pairs,
    find_near_pairs,
    limit_pairs,
    pack,
    unpack,
)

NOT_COMPUTED = -1  # in the place of a distance
NODE_BITS, DISTANCE_BITS = 25, 7  # two nodes and two distances make one number of 64 bits
MOST_IMAGES = 1 << NODE_BITS

ComputePhashes = Callable[[Ints], Hashes]


@dataclass(frozen=True, slots=True)
class NearLimits:
    """Largest Hamming distances of near-duplicates; a phash of 64 means that none is computed."""

    dhash: int
    phash: int

    @property
    def uses_phash(self) -> bool:
        return self.phash < BITS


@dataclass(frozen=True, slots=True)
class Groups:
    """For each avatar the one that is kept for it (itself if kept), and the distances to that.

    Distances of kept ones are 0; the phash distance is NOT_COMPUTED where the limits use none.
    """

    leader: Ints
    dhash: NDArray[np.int16]
    phash: NDArray[np.int16]


def group_near_duplicates(
    dhash: Hashes, limits: NearLimits, compute_phashes: ComputePhashes
) -> Groups:
    """Group (n,) avatars, given in order of preference, best first.

    A dropped one belongs to the nearest kept one before it: smallest dhash, then phash distance,
    then the first. `compute_phashes` is called once, with the numbers, ascending, of those that
    have a near dhash. Raises GanError where there are too many near pairs to hold.
    """
    if len(dhash) > MOST_IMAGES:
        raise GanError(
            f"{len(dhash):,} avatars: near-duplicates are found among {MOST_IMAGES:,} at most; set"
            " preprocess.duplicates.near to false"
        )
    leader = np.arange(len(dhash))
    candidates = _find_candidates(dhash, limits.dhash)
    phash = np.zeros_like(dhash)
    if limits.uses_phash and candidates.size:
        phash[candidates] = compute_phashes(candidates)
    found = _find_leaders(dhash[candidates], phash[candidates], limits)
    leader[candidates] = candidates[found]
    distance = _distance(phash, phash[leader])
    if not limits.uses_phash:
        distance[leader != np.arange(len(leader))] = NOT_COMPUTED
    return Groups(leader, _distance(dhash, dhash[leader]), distance)


def _distance(one: Hashes, other: Hashes) -> NDArray[np.int16]:
    distance: NDArray[np.int16] = np.bitwise_count(one ^ other).astype(np.int16)
    return distance


def _find_candidates(dhash: Hashes, distance: int) -> Ints:
    """Places of the hashes to which an equal or near one exists."""
    values, value_of, counts = np.unique(dhash, return_inverse=True, return_counts=True)
    has_near = counts > 1
    for one, other in limit_pairs(find_near_pairs(values, distance)):
        has_near[one] = has_near[other] = True
    return np.flatnonzero(has_near[value_of])


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Distinct pairs of hashes, in order of the first avatar that has them."""

    of: Ints  # (n,) node of each avatar
    first: Ints  # avatar
    dhash: Hashes
    phash: Hashes


def _find_nodes(dhash: Hashes, phash: Hashes) -> _Nodes:
    _, one = np.unique(dhash, return_inverse=True)
    phashes, other = np.unique(phash, return_inverse=True)
    both = one * len(phashes) + other
    _, first, of = np.unique(both, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first = first[order]
    return _Nodes(rank[of], first, dhash[first], phash[first])


def _find_leaders(dhash: Hashes, phash: Hashes, limits: NearLimits) -> Ints:
    nodes = _find_nodes(dhash, phash)
    pairs = pack(limit_pairs(_confirm_pairs(nodes, limits)))
    kept = _select_kept(len(nodes.first), pairs)
    leader = nodes.first[nodes.of]  # correct for kept nodes
    dropped = np.flatnonzero(~kept[nodes.of])
    leader[dropped] = nodes.first[_find_nearest(dropped, nodes, _list_kept(nodes, kept, pairs))]
    return leader


def _confirm_pairs(nodes: _Nodes, limits: NearLimits) -> Iterator[Pairs]:
    """Pairs of nodes that are near by both hashes."""
    for a, b in find_near_pairs(nodes.dhash, limits.dhash):
        near = np.bitwise_count(nodes.phash[a] ^ nodes.phash[b]) <= limits.phash
        yield a[near], b[near]


def _select_kept(count: int, pairs: Hashes) -> NDArray[np.bool_]:
    """Whether each node is kept: in order, each kept one drops those near it."""
    kept = np.ones(count, np.bool_)
    node_of = pairs >> 32
    turns = np.ones(len(pairs), np.bool_)
    turns[1:] = node_of[1:] != node_of[:-1]
    starts = np.flatnonzero(turns)
    ends = np.append(starts, len(pairs))[1:]
    for node, start, end in zip(node_of[starts], starts, ends, strict=True):
        if kept[node]:
            kept[pairs[start:end] & LOWER] = False
    return kept


def _list_kept(nodes: _Nodes, kept: NDArray[np.bool_], pairs: Hashes) -> Hashes:
    """For each dropped node the kept ones near it, nearest first, packed into sorted numbers.

    Kept nodes that come after it too: where several avatars have the hashes of a dropped node,
    such a one may still come before the later ones of them.
    """
    parts = [np.empty(0, np.uint64)]
    for low in range(0, len(pairs), CHUNK):
        a, b = unpack(pairs[low : low + CHUNK])
        dropped, near = np.concatenate([a, b]), np.concatenate([b, a])
        use = kept[near] & ~kept[dropped]
        parts.append(_pack_with_distances(dropped[use], near[use], nodes))
    packed = np.concatenate(parts)
    packed.sort()
    return packed


def _pack_with_distances(dropped: Ints, near: Ints, nodes: _Nodes) -> Hashes:
    packed = dropped.astype(np.uint64)
    for hashes in (nodes.dhash, nodes.phash):
        packed <<= DISTANCE_BITS
        packed |= np.bitwise_count(hashes[dropped] ^ hashes[near])
    packed <<= NODE_BITS
    packed |= near.astype(np.uint64)
    return packed


def _find_nearest(dropped: Ints, nodes: _Nodes, listed: Hashes) -> Ints:
    """For each dropped avatar the first node listed for its own that comes before it."""
    node_of = listed >> (BITS - NODE_BITS)
    place = np.searchsorted(node_of, nodes.of[dropped].astype(np.uint64))
    near = (listed & ((1 << NODE_BITS) - 1)).astype(np.int64)
    late = np.arange(len(dropped))
    while late.size:
        late = late[nodes.first[near[place[late]]] > dropped[late]]
        place[late] += 1
    return near[place]
