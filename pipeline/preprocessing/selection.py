"""Selection of the avatars to keep: filters, equal pixels, near-duplicates; the largest stays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.params.data import PreprocessParams
from pipeline.preprocessing.filters import find_faults
from pipeline.preprocessing.measures import phash
from pipeline.preprocessing.near_duplicates import NOT_COMPUTED, group_near_duplicates
from pipeline.preprocessing.plan import Integers, Plan
from pipeline.preprocessing.workers.image_slots import StagedImages


@dataclass(frozen=True)
class Selection:
    """For each avatar its fault, and the avatar that is kept for it.

    `fault` is 0, or the number that `filters.find_faults` gives. `leader` is -1 where there is a
    fault, else the number of the avatar itself, of a kept one with the same pixels, or of a near
    one at a distance of `dhash` and `phash` bits, which else are NOT_COMPUTED.
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
        """Avatars left out because one with the same pixels is kept."""
        return np.flatnonzero(~self.kept & (self.leader >= 0) & (self.dhash == NOT_COMPUTED))

    @property
    def near(self) -> Integers:
        """Avatars left out because a near one is kept."""
        return np.flatnonzero(~self.kept & (self.dhash != NOT_COMPUTED))


def select(
    avatars: NDArray[np.void],
    preference: Integers,
    settings: PreprocessParams,
    images: StagedImages,
) -> Selection:
    """Select among `avatars` (n,) of AVATAR_DTYPE; `preference` are their numbers, best first.

    `images` holds each in its slot.
    """
    count = len(avatars)
    fault = find_faults(avatars, settings.filters)
    leader = np.full(count, -1, np.int64)
    dhash, phashes = np.full((2, count), NOT_COMPUTED, np.int16)
    passed = preference[fault[preference] == 0]
    first, distinct_of = _find_distinct(avatars["digest"][passed])
    distinct = passed[first]  # the best avatar of each digest, still best first
    leader[passed] = distinct[distinct_of]
    if settings.duplicates.near:

        def compute_phashes(numbers: Integers) -> NDArray[np.uint64]:
            slots = avatars["slot"][distinct[numbers]]
            return np.array([phash(images.read(int(slot))) for slot in slots], np.uint64)

        hashes, limits = avatars["dhash"][distinct], settings.duplicates
        groups = group_near_duplicates(hashes, limits.dhash, limits.phash, compute_phashes)
        leaders, *distances = (each[distinct_of] for each in groups)
        leader[passed] = distinct[leaders]
        is_near = leaders != distinct_of
        dhash[passed[is_near]], phashes[passed[is_near]] = (each[is_near] for each in distances)
    return Selection(fault, leader, dhash, phashes)


def order_by_preference(avatars: NDArray[np.void], plan: Plan) -> Integers:
    """Sort the numbers of the avatars, best first.

    Large ones first: by the side that was cut out, then by pixels of the picture, bytes of its
    file, and its sha256.
    """
    pictures = avatars["picture"]
    area = (plan.entries["width"] * plan.entries["height"])[pictures]
    file_bytes = plan.index.size[plan.image[pictures]]
    keys = (avatars["slot"], plan.digest[pictures], -file_bytes, -area, -avatars["side"])
    return np.lexsort(keys)


def _find_distinct(digests: NDArray[np.uint8]) -> tuple[Integers, Integers]:
    """Places of the first of each digest, ascending; for every digest its index among these."""
    keys = np.ascontiguousarray(digests).view("S32").ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]
