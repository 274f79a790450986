"""Which avatars are near-duplicates, and of which one: two perceptual hashes, no chains.

Leader clustering: an avatar goes if a kept one before it is near, so that each that goes looks
like the one that stays for it. One that is near to dropped ones only is kept.
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
    Ints,
    Pairs,
    Words,
    bounded,
    gather,
    near_chunks,
    unpack,
)

NOT_ASKED = -1  # in the place of a phash distance
NODE_BITS, DISTANCE_BITS = 25, 7  # two nodes and two distances make one number of 64 bits
MOST_IMAGES = 1 << NODE_BITS

PhashOf = Callable[[Ints], Words]


@dataclass(frozen=True, slots=True)
class Limits:
    """Hamming distances, at most, of what counts as near; a phash of 64 asks for none."""

    dhash: int
    phash: int

    @property
    def ask_phash(self) -> bool:
        return self.phash < BITS


@dataclass(frozen=True, slots=True)
class Groups:
    """Of each avatar the one that stays for it, itself where it is kept, and how far that is.

    Distances are 0 where it is kept; a phash distance that nobody asked for is NOT_ASKED.
    """

    leader: Ints
    dhash: NDArray[np.int16]
    phash: NDArray[np.int16]


def find_near(dhash: Words, limits: Limits, phash_of: PhashOf) -> Groups:
    """Groups of (n,) avatars in order of preference, best first.

    A dropped one belongs to the nearest kept one before it: smallest dhash, then phash distance,
    then the first. `phash_of` is asked once, in order, for those alone that have a near dhash.
    Raises GanError where there are too many near pairs to hold.
    """
    if len(dhash) > MOST_IMAGES:
        raise GanError(
            f"{len(dhash):,} avatars: near-duplicates are found among {MOST_IMAGES:,} at most; set"
            " preprocess.duplicates.near to false"
        )
    leader = np.arange(len(dhash))
    crowded = _crowded(dhash, limits.dhash)
    phash = (
        phash_of(crowded) if limits.ask_phash and crowded.size else np.zeros_like(dhash[crowded])
    )
    leader[crowded] = crowded[_leaders(dhash[crowded], phash, limits)]
    return _groups(leader, crowded, dhash, phash, limits)


def _groups(leader: Ints, crowded: Ints, dhash: Words, phash: Words, limits: Limits) -> Groups:
    all_phash = np.zeros_like(dhash)
    all_phash[crowded] = phash
    phash_distance = _distance(all_phash, all_phash[leader])
    if not limits.ask_phash:
        phash_distance[leader != np.arange(len(leader))] = NOT_ASKED
    return Groups(leader, _distance(dhash, dhash[leader]), phash_distance)


def _distance(one: Words, other: Words) -> NDArray[np.int16]:
    distance: NDArray[np.int16] = np.bitwise_count(one ^ other).astype(np.int16)
    return distance


def _crowded(dhash: Words, distance: int) -> Ints:
    """Places of what shares its dhash, or has another one near."""
    values, value_of, counts = np.unique(dhash, return_inverse=True, return_counts=True)
    crowded = counts > 1
    for one, other in bounded(near_chunks(values, distance)):
        crowded[one] = crowded[other] = True
    return np.flatnonzero(crowded[value_of])


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Distinct pairs of hashes, in order of the first avatar that has them."""

    of: Ints  # (n,) node of each avatar
    first: Ints  # avatar
    dhash: Words
    phash: Words


def _nodes(dhash: Words, phash: Words) -> _Nodes:
    _, one = np.unique(dhash, return_inverse=True)
    phashes, other = np.unique(phash, return_inverse=True)
    both = one * len(phashes) + other
    _, first, of = np.unique(both, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first = first[order]
    return _Nodes(rank[of], first, dhash[first], phash[first])


def _leaders(dhash: Words, phash: Words, limits: Limits) -> Ints:
    nodes = _nodes(dhash, phash)
    pairs = gather(bounded(_confirmed(nodes, limits)))
    kept = _kept(len(nodes.first), pairs)
    leader = nodes.first[nodes.of]  # right for the nodes that are kept
    dropped = np.flatnonzero(~kept[nodes.of])
    leader[dropped] = nodes.first[_nearest(dropped, nodes, _candidates(nodes, kept, pairs))]
    return leader


def _confirmed(nodes: _Nodes, limits: Limits) -> Iterator[Pairs]:
    for a, b in near_chunks(nodes.dhash, limits.dhash):
        near = np.bitwise_count(nodes.phash[a] ^ nodes.phash[b]) <= limits.phash
        yield a[near], b[near]


def _kept(count: int, pairs: Words) -> NDArray[np.bool_]:
    """Which nodes stay: in order, each that stays drops those near it."""
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


def _candidates(nodes: _Nodes, kept: NDArray[np.bool_], pairs: Words) -> Words:
    """For each dropped node the kept ones near it, nearest first, as numbers in order.

    Also those that come after it: where several avatars have the hashes of a dropped node, such a
    one may still come before the later ones of them.
    """
    parts = [np.empty(0, np.uint64)]
    for low in range(0, len(pairs), CHUNK):
        a, b = unpack(pairs[low : low + CHUNK])
        dropped, near = np.concatenate([a, b]), np.concatenate([b, a])
        use = kept[near] & ~kept[dropped]
        parts.append(_packed(dropped[use], near[use], nodes))
    packed = np.concatenate(parts)
    packed.sort()
    return packed


def _packed(dropped: Ints, near: Ints, nodes: _Nodes) -> Words:
    packed = dropped.astype(np.uint64)
    for hashes in (nodes.dhash, nodes.phash):
        packed <<= DISTANCE_BITS
        packed |= np.bitwise_count(hashes[dropped] ^ hashes[near])
    packed <<= NODE_BITS
    packed |= near.astype(np.uint64)
    return packed


def _nearest(dropped: Ints, nodes: _Nodes, candidates: Words) -> Ints:
    """For each dropped avatar the first of its node's candidates that comes before it."""
    node_of = candidates >> (BITS - NODE_BITS)
    place = np.searchsorted(node_of, nodes.of[dropped].astype(np.uint64))
    near = (candidates & ((1 << NODE_BITS) - 1)).astype(np.int64)
    late = np.arange(len(dropped))
    while late.size:
        late = late[nodes.first[near[place[late]]] > dropped[late]]
        place[late] += 1
    return near[place]
