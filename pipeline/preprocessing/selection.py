"""Which avatars stay: filters, then exact duplicates, then near ones; the largest is kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.preprocessing.duplicates.leaders import Limits, find_near
from pipeline.preprocessing.filters import FilterRules, faults
from pipeline.preprocessing.measures import phash
from pipeline.preprocessing.workers.image_slots import StagedImages

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """What becomes of each avatar, by its number.

    `fault` is 0, or what `filters.faults` says. `leader` is the avatar that is kept in its place:
    itself, or of the same pixels (distances -1), or near by `dhash` and `phash` bits. It is -1
    where there is a fault.
    """

    fault: NDArray[np.int8]
    leader: Integers
    dhash: NDArray[np.int16]
    phash: NDArray[np.int16]

    @property
    def kept(self) -> NDArray[np.bool_]:
        return np.asarray(self.leader == np.arange(len(self.leader)))

    @property
    def same_pixels(self) -> Integers:
        """Avatars that are left out because their very pixels are kept already."""
        return np.flatnonzero(~self.kept & (self.leader >= 0) & (self.dhash < 0))

    @property
    def near(self) -> Integers:
        """Avatars that are left out because a kept one looks the same."""
        return np.flatnonzero(~self.kept & (self.dhash >= 0))


def choose(
    avatars: NDArray[np.void],
    preference: Integers,
    rules: FilterRules,
    limits: Limits | None,
    images: StagedImages,
) -> Choice:
    """Decide over `avatars` (n,) of bench.AVATARS; `preference` are their numbers, best first.

    Without `limits` near duplicates stay.
    """
    count = len(avatars)
    fault = faults(avatars, rules)
    leader = np.full(count, -1, np.int64)
    dhash, phashes = np.full(count, -1, np.int16), np.full(count, -1, np.int16)
    passed = preference[fault[preference] == 0]
    distinct, of_pixels = _distinct(avatars["digest"][passed])
    nodes = passed[distinct]  # one for each picture, still best first
    if limits is None:
        leader[passed] = nodes[of_pixels]
        return Choice(fault, leader, dhash, phashes)

    def phash_of(numbers: Integers) -> NDArray[np.uint64]:
        slots = avatars["slot"][nodes[numbers]]
        return np.array([phash(images.read(int(slot))) for slot in slots], np.uint64)

    groups = find_near(avatars["dhash"][nodes], limits, phash_of)
    leader[passed] = nodes[groups.leader[of_pixels]]
    near = groups.leader != np.arange(len(nodes))
    is_near = near[of_pixels]
    dhash[passed[is_near]] = groups.dhash[of_pixels[is_near]]
    phashes[passed[is_near]] = groups.phash[of_pixels[is_near]]
    return Choice(fault, leader, dhash, phashes)


def preferred(
    avatars: NDArray[np.void], area: Integers, file_bytes: Integers, digest: NDArray[np.bytes_]
) -> Integers:
    """Numbers of the avatars, those to keep first: most pixels, largest picture and file; hash."""
    return np.lexsort((avatars["slot"], digest, -file_bytes, -area, -avatars["side"]))


def _distinct(digests: NDArray[np.uint8]) -> tuple[Integers, Integers]:
    """The first of each digest, ascending, and for every one which of these has its digest."""
    keys = np.ascontiguousarray(digests).view("S32").ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]
