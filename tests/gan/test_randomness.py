"""Random numbers that are a function of (seed, stream, sample)."""

import math

import numpy as np
import pytest
import torch

from gan.randomness import normal, permutation, uniform

COUNT, WIDTH = 20_000, 50
SAMPLES = torch.arange(COUNT)


@pytest.fixture(scope="module")
def normals():
    return normal(1, "latents", SAMPLES, WIDTH).double()


@pytest.fixture(scope="module")
def uniforms():
    return uniform(1, "mix", SAMPLES, WIDTH).double()


def test_normal_numbers_have_the_moments_of_the_normal_distribution(normals):
    # five standard errors of a million draws, on both sides
    error = 5 / math.sqrt(normals.numel())
    assert normals.mean().item() == pytest.approx(0, abs=error)
    assert normals.square().mean().item() == pytest.approx(1, abs=error * math.sqrt(2))
    assert normals.pow(3).mean().item() == pytest.approx(0, abs=error * math.sqrt(15))
    assert normals.pow(4).mean().item() == pytest.approx(3, abs=error * math.sqrt(96))


def test_normal_numbers_are_independent_across_columns_and_rows(normals):
    covariance = normals.T @ normals / COUNT
    assert (covariance - torch.eye(WIDTH)).abs().max() < 6 * math.sqrt(2 / COUNT)
    neighbours = (normals[1:] * normals[:-1]).mean().item()
    assert neighbours == pytest.approx(0, abs=5 / math.sqrt(normals.numel()))


def test_uniform_numbers_have_the_moments_of_the_uniform_distribution(uniforms):
    error = 5 / math.sqrt(uniforms.numel())
    assert uniforms.mean().item() == pytest.approx(0.5, abs=error * math.sqrt(1 / 12))
    assert uniforms.var().item() == pytest.approx(1 / 12, abs=error * math.sqrt(1 / 180))


def test_uniform_numbers_fill_all_tenths_equally(uniforms):
    counts = torch.histc(uniforms, 10, 0, 1)
    expected = uniforms.numel() / 10
    chi_square = ((counts - expected).square() / expected).sum().item()
    assert 0.5 < chi_square < 30  # 9 degrees of freedom: beyond both ends is one in a thousand


def test_uniform_numbers_are_never_0_or_1():
    numbers = uniform(3, "mix", torch.arange(2_000_000))
    assert numbers.dtype == torch.float32
    assert 0 < numbers.min() < 1e-5
    assert 1 - 1e-5 < numbers.max() < 1


@pytest.mark.parametrize("width", [1, 7, 8, 128])
@pytest.mark.parametrize("part", [1, 3, 16, 100])
def test_a_samples_numbers_do_not_depend_on_its_batch(part, width):
    samples = torch.arange(500, 801)
    whole = normal(2, "latents", samples, width)
    parts = torch.cat([normal(2, "latents", each, width) for each in samples.split(part)])
    assert torch.equal(whole, parts)
    whole = uniform(2, "latents", samples, width)
    parts = torch.cat([uniform(2, "latents", each, width) for each in samples.split(part)])
    assert torch.equal(whole, parts)


def test_order_of_samples_does_not_matter():
    forward = normal(2, "latents", torch.tensor([3, 9]), 16)
    backward = normal(2, "latents", torch.tensor([9, 3]), 16)
    assert torch.equal(forward, backward.flip(0))


@pytest.mark.parametrize(
    ("seed", "stream", "first"), [(2, "a", 0), (1, "b", 0), (1, "a", 1000), (2**62, "a", 0)]
)
def test_another_seed_stream_or_sample_gives_unrelated_numbers(seed, stream, first):
    here = normal(1, "a", torch.arange(1000), 64)
    there = normal(seed, stream, torch.arange(first, first + 1000), 64)
    assert not (here == there).all(1).any()
    correlation = (here * there).mean().item()
    assert correlation == pytest.approx(0, abs=5 / math.sqrt(here.numel()))


def test_seeds_side_by_side_share_no_samples():
    rows = torch.cat([normal(seed, "a", torch.arange(300), 4) for seed in range(20)])
    assert len(torch.unique(rows, dim=0)) == len(rows)


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_a_permutation_holds_every_item_once(count):
    order = permutation(1, "order", 0, count)
    assert np.array_equal(np.sort(order), np.arange(count))


def test_permutations_differ_by_seed_stream_and_epoch_and_only_by_them():
    first = permutation(1, "order", 0, 1000)
    assert np.array_equal(first, permutation(1, "order", 0, 1000))
    for other in [(2, "order", 0), (1, "flip", 0), (1, "order", 1)]:
        # of two random orders about one item stands at the same place
        assert (first == permutation(*other, 1000)).sum() < 10
