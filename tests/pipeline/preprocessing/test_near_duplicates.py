"""Near-duplicates: pairs against a comparison of all, groups against their definition."""

import tracemalloc

import numpy as np
import pytest

from gan.errors import GanError
from pipeline.preprocessing import near_duplicates
from pipeline.preprocessing.near_duplicates import (
    NOT_COMPUTED,
    find_near_pairs,
    group_near_duplicates,
)

LIMITS = (4, 8)


def near_pairs(hashes, distance):
    """All pairs, the lower place first, in order; none comes twice."""
    chunks = list(find_near_pairs(hashes, distance))
    pairs = [sorted(pair) for a, b in chunks for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert len(set(map(tuple, pairs))) == len(pairs)
    return sorted(pairs)


def every_pair(hashes, distance):
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])
    return np.argwhere(np.triu(apart <= distance, 1)).tolist()


def flipped(rng, hashes, bits):
    """Hashes with exactly `bits` bits changed."""
    places = rng.permuted(np.tile(np.arange(64, dtype=np.uint64), (len(hashes), 1)), axis=1)
    changes = np.left_shift(np.uint64(1), places[:, :bits])
    return hashes ^ np.bitwise_or.reduce(changes, axis=1, initial=0)


def uniform(rng, count):
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def clustered(rng, count):
    return flipped(rng, rng.choice(uniform(rng, max(1, count // 8)), count), 3)


def crowded(rng, count):
    """Most bits the same in all, many hashes equal."""
    return rng.integers(0, 2**9, count, dtype=np.uint64) << 20


def chains(rng, count):
    """Hashes that walk a bit a step, in any order."""
    steps = np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
    return rng.permutation(np.bitwise_xor.accumulate(steps))


def few(rng, count):
    """The same few, near each other, again and again."""
    return rng.integers(0, 2**5, count, dtype=np.uint64)


@pytest.mark.parametrize("draw", [uniform, clustered, crowded])
@pytest.mark.parametrize("distance", range(11))
def test_the_pairs_equal_a_search_of_all_pairs(draw, distance):
    hashes = draw(np.random.default_rng(distance), 300)
    assert near_pairs(hashes, distance) == every_pair(hashes, distance)
    for count in (0, 1, 2):
        assert near_pairs(hashes[:count], distance) == every_pair(hashes[:count], distance)


@pytest.mark.parametrize("distance", [1, 4, 8])
def test_wherever_the_bits_differ_the_limit_is_exact(distance):
    rng = np.random.default_rng(distance)
    hashes = uniform(rng, 1000)
    inside = np.concatenate([hashes, flipped(rng, hashes, distance)])
    assert near_pairs(inside, distance) == [[i, i + 1000] for i in range(1000)]
    beyond = np.concatenate([hashes, flipped(rng, hashes, distance + 1)])
    assert near_pairs(beyond, distance) == []


@pytest.mark.slow
def test_a_million_hashes_take_little_memory():
    """Only the planted pairs are near, in all likelihood (not so once in 50 seeds)."""
    rng = np.random.default_rng(4)
    hashes = uniform(rng, 1_000_000)
    one, other = rng.permutation(len(hashes))[:10_000].reshape(2, -1)
    hashes[other] = flipped(rng, hashes[one], 4)
    tracemalloc.start()
    found = near_pairs(hashes, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == sorted(np.sort(np.stack([one, other], axis=1)).tolist())
    assert peak < 200e6


def define_groups(dhash, phash, most_dhash, most_phash):
    """The definition: (leader, dhash distance, phash distance) of each, in order."""
    kept, groups = [], []
    for i in range(len(dhash)):
        near = []
        for leader in kept:
            one = int(dhash[i] ^ dhash[leader]).bit_count()
            other = int(phash[i] ^ phash[leader]).bit_count()
            if one <= most_dhash and other <= most_phash:
                near.append((one, other if most_phash < 64 else NOT_COMPUTED, leader))
        if near:
            one, other, leader = min(near)
            groups.append((leader, one, other))
        else:
            kept.append(i)
            groups.append((i, 0, 0))
    return groups


def found(dhash, phash, *limits):
    groups = group_near_duplicates(dhash, *limits, lambda indices: phash[indices])
    return list(zip(*(column.tolist() for column in groups), strict=True))


def never(indices):
    raise AssertionError(f"asked for {indices}")


@pytest.mark.parametrize("draw_phash", [uniform, clustered, chains, few])
@pytest.mark.parametrize("draw_dhash", [uniform, clustered, chains, few])
def test_groups_equal_the_definition(draw_dhash, draw_phash):
    rng = np.random.default_rng(0)
    for distance in (0, 1, 2, 4, 7, 10):
        dhash, phash = draw_dhash(rng, 40), draw_phash(rng, 40)
        for limit in (0, 3, 8, 30, 64)[distance % 2 :: 2]:
            expected = define_groups(dhash, phash, distance, limit)
            assert found(dhash, phash, distance, limit) == expected


def test_phashes_are_computed_once_where_they_matter():
    numbers = [0, 1 << 40 | 0xFFFF, 0b111, 0xFFFFFF << 40, 0xFFFFFF << 40]
    dhash = np.array(numbers, np.uint64)
    asked = []

    def phash_of(indices):
        asked.append(indices.tolist())
        return np.zeros(len(indices), np.uint64)

    groups = group_near_duplicates(dhash, 3, 8, phash_of)
    assert asked == [[0, 2, 3, 4]]
    assert groups[0].tolist() == [0, 1, 0, 3, 3]
    for count in (0, 2):
        far = np.array([0, 0xFF], np.uint64)[:count]
        assert group_near_duplicates(far, *LIMITS, never)[0].tolist() == list(range(count))


def test_one_dhash_with_many_phashes_is_searched_in_little_memory():
    phash = uniform(np.random.default_rng(5), 2000)
    phash[1500:] = phash[:500] ^ 1
    tracemalloc.start()
    groups = group_near_duplicates(np.zeros(2000, np.uint64), 4, 8, lambda each: phash[each])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert groups[0].tolist() == [*range(1500), *range(500)]
    equal = np.full(100_000, 7, np.uint64)
    for limit in (8, 64):
        assert not group_near_duplicates(equal, 4, limit, lambda indices: equal[indices])[0].any()
    assert peak < 8e6  # the two million pairs at 16 bytes would be 32 MB


def test_more_near_pairs_than_can_be_held_are_an_error(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 100)
    with pytest.raises(GanError, match=r"preprocess\.duplicates\.dhash"):
        group_near_duplicates(np.arange(64, dtype=np.uint64), 4, 64, never)
