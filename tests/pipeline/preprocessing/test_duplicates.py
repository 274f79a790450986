"""Leader clustering of near-duplicates, against its definition."""

import tracemalloc

import numpy as np
import pytest

from gan.errors import GanError
from pipeline.preprocessing.duplicates import hamming_search as near
from pipeline.preprocessing.duplicates import leaders as duplicates
from pipeline.preprocessing.duplicates.leaders import (
    NOT_COMPUTED,
    NearLimits,
    group_near_duplicates,
)


def define_groups(dhash, phash, limits):
    """The definition: (leader, dhash distance, phash distance) of each, in order."""
    kept, groups = [], []
    for i in range(len(dhash)):
        near = []
        for leader in kept:
            one = int(dhash[i] ^ dhash[leader]).bit_count()
            other = int(phash[i] ^ phash[leader]).bit_count()
            if one <= limits.dhash and other <= limits.phash:
                near.append((one, other if limits.phash < 64 else NOT_COMPUTED, leader))
        if near:
            one, other, leader = min(near)
            groups.append((leader, one, other))
        else:
            kept.append(i)
            groups.append((i, 0, 0))
    return groups


def found(dhash, phash, limits):
    groups = group_near_duplicates(dhash, limits, lambda indices: phash[indices])
    assert (groups.leader.dtype, groups.dhash.dtype, groups.phash.dtype) == ("i8", "i2", "i2")
    return list(
        zip(groups.leader.tolist(), groups.dhash.tolist(), groups.phash.tolist(), strict=True)
    )


def words(*numbers):
    return np.array(numbers, np.uint64)


def never(indices):
    raise AssertionError(f"asked for {indices}")


def random(rng, count):
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def clustered(rng, count):
    """Around few centres, up to six bits away."""
    hashes = rng.choice(random(rng, 6), count)
    for _ in range(6):
        hashes = hashes ^ (
            rng.integers(0, 2, count, np.uint64) << rng.integers(0, 64, count, "u8")
        )
    return hashes


def chains(rng, count):
    """Hashes that walk a bit or two a step, in any order."""
    steps = np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
    return rng.permutation(np.bitwise_xor.accumulate(steps))


def few(rng, count):
    """The same few, near each other, again and again."""
    return rng.integers(0, 2**5, count, dtype=np.uint64)


@pytest.mark.parametrize("draw_phash", [random, clustered, chains, few])
@pytest.mark.parametrize("draw_dhash", [random, clustered, chains, few])
def test_groups_equal_the_definition(draw_dhash, draw_phash):
    rng = np.random.default_rng(0)
    for distance in (0, 1, 2, 4, 7, 10):
        dhash, phash = draw_dhash(rng, 40), draw_phash(rng, 40)
        for limit in (0, 3, 8, 30, 64)[distance % 2 :: 2]:
            limits = NearLimits(distance, limit)
            assert found(dhash, phash, limits) == define_groups(dhash, phash, limits)


def test_groups_with_many_equal_hashes_equal_the_definition():
    rng = np.random.default_rng(1)
    for _ in range(30):
        pick = rng.integers(0, 12, 60)
        dhash, phash = few(rng, 12)[pick], few(rng, 12)[pick]
        limits = NearLimits(int(rng.integers(0, 4)), int(rng.integers(0, 4)))
        assert found(dhash, phash, limits) == define_groups(dhash, phash, limits)


def test_small_chunks_change_nothing(monkeypatch):
    monkeypatch.setattr(near, "CHUNK", 5)
    monkeypatch.setattr(duplicates, "CHUNK", 5)
    rng = np.random.default_rng(2)
    dhash, phash = clustered(rng, 100), few(rng, 100)
    assert found(dhash, phash, NearLimits(6, 2)) == define_groups(dhash, phash, NearLimits(6, 2))


def test_a_chain_does_not_join_its_ends():
    chain = words(*((1 << 4 * i) - 1 for i in range(16)))  # each 4 bits from the next
    groups = group_near_duplicates(chain, NearLimits(4, 64), never)
    assert groups.leader.tolist() == [i - i % 2 for i in range(16)]
    assert groups.dhash.tolist() == [0, 4] * 8


def test_the_nearest_leader_counts_then_the_nearer_phash_then_the_first():
    # two leaders 6 bits apart in the one hash; what lies between is within 4 of both
    dhash = words(0b000000, 0b111111, 0b000011, 0b000111, 0b000111)
    phash = words(0b00, 0b00, 0b11, 0b00, 0b00)
    assert found(dhash, phash, NearLimits(4, 8))[2:] == [(0, 2, 2), (0, 3, 0), (0, 3, 0)]
    phash[0] = 0b1
    assert found(dhash, phash, NearLimits(4, 8))[2:] == [(0, 2, 1), (1, 3, 0), (1, 3, 0)]


def test_a_leader_that_comes_between_two_equal_ones_takes_the_later():
    # the fourth has the hashes of the second, and the third, kept, is nearer to it than the first
    dhash = words(0b000000, 0b000111, 0b001111 | 1 << 9, 0b000111)
    assert group_near_duplicates(dhash, NearLimits(3, 64), never).leader.tolist() == [0, 0, 2, 2]


def test_of_equal_hashes_the_first_is_kept():
    rng = np.random.default_rng(3)
    dhash = rng.permutation(np.repeat(random(rng, 50), 4))
    leader = group_near_duplicates(dhash, NearLimits(4, 64), never).leader
    firsts = {int(value): int(np.argmax(dhash == value)) for value in dhash}
    assert leader.tolist() == [firsts[int(value)] for value in dhash]


def test_kept_ones_are_apart_and_dropped_ones_near_an_earlier_kept_one():
    rng = np.random.default_rng(4)
    dhash, phash = clustered(rng, 2000), few(rng, 2000)
    limits = NearLimits(4, 2)
    groups = group_near_duplicates(dhash, limits, lambda indices: phash[indices])
    everyone = np.arange(len(dhash))
    kept = np.flatnonzero(groups.leader == everyone)
    assert 50 < len(kept) < 1500
    assert (groups.leader <= everyone).all()
    assert (groups.leader[groups.leader] == groups.leader).all()
    assert (np.bitwise_count(dhash ^ dhash[groups.leader]) == groups.dhash).all()
    assert (np.bitwise_count(phash ^ phash[groups.leader]) == groups.phash).all()
    assert groups.dhash.max() <= limits.dhash
    assert groups.phash.max() <= limits.phash
    apart = np.bitwise_count(dhash[kept, None] ^ dhash[kept]) > limits.dhash
    apart |= np.bitwise_count(phash[kept, None] ^ phash[kept]) > limits.phash
    assert (apart | np.eye(len(kept), dtype=bool)).all()


def test_phashes_are_computed_once_for_those_with_a_near_dhash():
    dhash = words(0, 1 << 40 | 0xFFFF, 0b111, 0xFFFFFF << 40, 0xFFFFFF << 40)
    asked = []

    def phash_of(indices):
        asked.append(indices.tolist())
        return np.zeros(len(indices), np.uint64)

    groups = group_near_duplicates(dhash, NearLimits(3, 8), phash_of)
    assert asked == [[0, 2, 3, 4]]
    assert groups.leader.tolist() == [0, 1, 0, 3, 3]


def test_phashes_are_not_computed_where_they_cannot_matter():
    assert group_near_duplicates(words(0, 0, 1), NearLimits(1, 64), never).phash.tolist() == [
        0,
        NOT_COMPUTED,
        NOT_COMPUTED,
    ]
    assert group_near_duplicates(
        words(0, 0xFF, 0xFF00), NearLimits(4, 8), never
    ).leader.tolist() == [0, 1, 2]
    assert group_near_duplicates(words(), NearLimits(4, 8), never).leader.tolist() == []


@pytest.mark.parametrize("phash", [8, 64])
def test_a_hundred_thousand_equal_hashes_are_one_group(phash):
    groups = group_near_duplicates(
        np.full(100_000, 7, np.uint64),
        NearLimits(4, phash),
        lambda indices: indices.astype("u8") * 0,
    )
    assert not groups.leader.any()


def test_one_dhash_with_many_phashes_is_searched_in_little_memory(monkeypatch):
    monkeypatch.setattr(near, "CHUNK", 1 << 16)
    phash = random(np.random.default_rng(5), 2000)
    phash[1500:] = phash[:500] ^ 1
    tracemalloc.start()
    groups = group_near_duplicates(
        np.zeros(2000, np.uint64), NearLimits(4, 8), lambda indices: phash[indices]
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert groups.leader.tolist() == [*range(1500), *range(500)]
    assert peak < 8e6  # the two million pairs at 16 bytes would be 32 MB


def test_more_near_pairs_than_can_be_held_are_an_error(monkeypatch):
    monkeypatch.setattr(near, "MOST_PAIRS", 100)
    with pytest.raises(GanError, match=r"preprocess\.duplicates\.dhash"):
        group_near_duplicates(np.arange(64, dtype=np.uint64), NearLimits(4, 64), never)
    phash = np.arange(64, dtype=np.uint64)
    with pytest.raises(GanError, match=r"preprocess\.duplicates\.dhash"):
        group_near_duplicates(
            np.zeros(64, np.uint64), NearLimits(4, 8), lambda indices: phash[indices]
        )


def test_more_avatars_than_can_be_numbered_are_an_error(monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_IMAGES", 3)
    assert group_near_duplicates(words(1, 1, 1), NearLimits(4, 64), never).leader.tolist() == [
        0,
        0,
        0,
    ]
    with pytest.raises(GanError, match=r"preprocess\.duplicates\.near"):
        group_near_duplicates(words(1, 1, 1, 1), NearLimits(4, 64), never)
