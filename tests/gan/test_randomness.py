"""Random numbers that are a function of (seed, stream, sample)."""

import math

import numpy as np
import pytest
import torch

from gan.randomness import normal, permutation, uniform

COUNT, WIDTH = 20_000, 50


def test_normal_numbers_have_the_moments_of_the_normal_distribution_and_are_independent():
    normals = normal(1, "latents", torch.arange(COUNT), WIDTH).double()
    # five standard errors of a million draws, on both sides
    error = 5 / math.sqrt(normals.numel())
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        found = normals.pow(power).mean().item()
        assert found == pytest.approx(moment, abs=error * math.sqrt(variance))
    # columns and rows are independent
    covariance = normals.T @ normals / COUNT
    assert (covariance - torch.eye(WIDTH)).abs().max() < 6 * math.sqrt(2 / COUNT)
    neighbours = (normals[1:] * normals[:-1]).mean().item()
    assert neighbours == pytest.approx(0, abs=5 / math.sqrt(normals.numel()))


def test_uniform_numbers_fill_all_tenths_equally_and_are_never_0_or_1():
    numbers = uniform(3, "mix", torch.arange(2_000_000))
    assert numbers.dtype == torch.float32
    assert 0 < numbers.min() < 1e-5
    assert 1 - 1e-5 < numbers.max() < 1
    counts = torch.histc(numbers, 10, 0, 1)
    expected = numbers.numel() / 10
    chi_square = ((counts - expected).square() / expected).sum().item()
    assert 0.5 < chi_square < 30  # 9 degrees of freedom: beyond both ends is one in a thousand


@pytest.mark.parametrize("draw", [normal, uniform])
@pytest.mark.parametrize("width", [1, 7, 128])
@pytest.mark.parametrize("part", [1, 16, 100])
def test_a_samples_numbers_do_not_depend_on_its_batch_or_order(draw, part, width):
    samples = torch.arange(500, 801)
    whole = draw(2, "latents", samples, width)
    parts = torch.cat([draw(2, "latents", each, width) for each in samples.split(part)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole.flip(0), draw(2, "latents", samples.flip(0), width))


@pytest.mark.parametrize(
    ("seed", "stream", "first"), [(2, "a", 0), (1, "b", 0), (1, "a", 1000), (2**62, "a", 0)]
)
def test_another_seed_stream_or_sample_gives_unrelated_numbers(seed, stream, first):
    here = normal(1, "a", torch.arange(1000), 64)
    there = normal(seed, stream, torch.arange(first, first + 1000), 64)
    assert len(torch.unique(torch.cat([here, there]), dim=0)) == 2000
    correlation = (here * there).mean().item()
    assert correlation == pytest.approx(0, abs=5 / math.sqrt(here.numel()))


def test_permutations_hold_every_item_once_and_differ_by_seed_stream_and_epoch():
    first = permutation(1, "order", 0, 1000)
    assert np.array_equal(np.sort(first), np.arange(1000))
    assert np.array_equal(first, permutation(1, "order", 0, 1000))
    assert permutation(1, "order", 0, 1).tolist() == [0]
    for other in [(2, "order", 0), (1, "flip", 0), (1, "order", 1)]:
        # of two random orders about one item stands at the same place
        assert (first == permutation(*other, 1000)).sum() < 10
