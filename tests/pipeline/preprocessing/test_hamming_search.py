"""Search for near hashes by bands, against a comparison of all pairs."""

import tracemalloc

import numpy as np
import pytest

from gan.errors import GanError
from pipeline.preprocessing.duplicates import hamming_search as near
from pipeline.preprocessing.duplicates.hamming_search import (
    find_near_pairs,
    limit_pairs,
    pack,
    unpack,
)


def near_pairs(hashes, distance):
    """All pairs in order."""
    return unpack(pack(limit_pairs(find_near_pairs(hashes, distance))))


def every_pair(hashes, distance):
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])
    return np.nonzero(np.triu(apart <= distance, 1))


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


def same_pairs(found, expected):
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("draw", [uniform, clustered, crowded])
@pytest.mark.parametrize("distance", range(11))
def test_the_pairs_equal_a_search_of_all_pairs(draw, distance):
    hashes = draw(np.random.default_rng(distance), 300)
    assert same_pairs(near_pairs(hashes, distance), every_pair(hashes, distance))


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_chunks_of_any_size_give_all_pairs(chunk, monkeypatch):
    monkeypatch.setattr(near, "CHUNK", chunk)
    hashes = crowded(np.random.default_rng(1), 120)
    assert same_pairs(near_pairs(hashes, 3), every_pair(hashes, 3))


def test_chunks_hold_each_pair_once_and_stay_small(monkeypatch):
    monkeypatch.setattr(near, "CHUNK", 1000)
    hashes = np.repeat(uniform(np.random.default_rng(2), 3), 60)
    hashes[60:120] = hashes[0] ^ 1
    chunks = list(find_near_pairs(hashes, 1))
    pairs = [pair for a, b in chunks for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert sorted(pairs) == [tuple(pair) for pair in np.transpose(every_pair(hashes, 1)).tolist()]
    assert max(len(a) for a, _ in chunks) <= 1000 + len(hashes)


@pytest.mark.parametrize("distance", [1, 4, 8])
def test_wherever_the_bits_differ_the_limit_is_exact(distance):
    rng = np.random.default_rng(distance)
    hashes = uniform(rng, 1000)
    inside = np.concatenate([hashes, flipped(rng, hashes, distance)])
    a, b = near_pairs(inside, distance)
    assert np.array_equal(a, np.arange(1000))
    assert np.array_equal(b, np.arange(1000) + 1000)
    beyond = np.concatenate([hashes, flipped(rng, hashes, distance + 1)])
    assert len(near_pairs(beyond, distance)[0]) == 0


@pytest.mark.parametrize("distance", [0, 4, 32])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_hashes_and_a_wide_distance_work(count, distance):
    hashes = uniform(np.random.default_rng(3), count)
    assert same_pairs(near_pairs(hashes, distance), every_pair(hashes, distance))
    assert [part.dtype for part in near_pairs(hashes, distance)] == [np.int64, np.int64]


def test_an_error_names_the_setting_where_there_are_too_many_pairs(monkeypatch):
    monkeypatch.setattr(near, "MOST_PAIRS", 45)
    assert len(near_pairs(np.zeros(10, np.uint64), 4)[0]) == 45
    with pytest.raises(GanError, match=r"45 .*preprocess\.duplicates\.dhash"):
        near_pairs(np.zeros(11, np.uint64), 4)


def planted(count, pairs):
    """Hashes among which only the planted pairs are near, in all likelihood (1 in 50 at 1M)."""
    rng = np.random.default_rng(4)
    hashes = uniform(rng, count)
    one, other = rng.permutation(count)[: 2 * pairs].reshape(2, -1)
    hashes[other] = flipped(rng, hashes[one], 4)
    expected = np.sort(np.stack([one, other]), axis=0)
    return hashes, expected[:, np.argsort(expected[0])]


def test_planted_pairs_are_found_among_a_hundred_thousand_hashes():
    hashes, expected = planted(100_000, 500)
    assert same_pairs(near_pairs(hashes, 4), expected)


@pytest.mark.slow
def test_a_million_hashes_take_little_memory():
    hashes, expected = planted(1_000_000, 5000)
    tracemalloc.start()
    found = near_pairs(hashes, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert same_pairs(found, expected)
    assert peak < 200e6
