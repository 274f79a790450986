"""Augmentation against what each operation does to one picture; ADA's controller; noise."""

import math
from contextlib import nullcontext
from itertools import product

import pytest
import torch

from gan.params.train import AugmentParams, NoiseParams
from gan.randomness import uniform
from gan.training.augment import adapt_strength, add_instance_noise, augment, noise_deviation

SWITCHES = ("colour", "translation", "cutout")


def params(*on, target=0.0, images=1000):
    return AugmentParams(
        **{name: name in on for name in SWITCHES},
        strength=1.0,
        ada_target=target,
        ada_images=images,
    )


def pictures(count, side=32, dtype=torch.float32, seed=0, low=-1.0):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=random, dtype=dtype) * (1 - low) + low


def apply(pixels, *on, strength=1.0, seed=1, stream="real", first=0):
    samples = torch.arange(first, first + len(pixels))
    return augment(pixels, params(*on), torch.tensor(strength), seed, stream, samples)


def change_colours(picture, brightness, saturation, contrast):
    """DiffAugment's three functions for one picture (3, H, W), one after the other."""
    picture = picture + brightness
    grey = picture.mean(0, keepdim=True)
    picture = (picture - grey) * saturation + grey
    return (picture - picture.mean()) * contrast + picture.mean()


def translate(picture, down, right):
    """One picture (3, H, W), moved by slices."""
    height, width = picture.shape[1:]
    result = torch.zeros_like(picture)
    source = picture[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    result[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = source
    return result


def shift_of(before, after, farthest):
    """The translation that makes `after` of `before`; exactly one must do it."""
    shifts = product(range(-farthest, farthest + 1), repeat=2)
    (found,) = [shift for shift in shifts if torch.equal(translate(before, *shift), after)]
    return found


def cut(picture, row, column, side):
    """One picture (3, H, W) with a square of which this is the first corner, maybe outside."""
    result = picture.clone()
    result[:, max(row, 0) : max(row + side, 0), max(column, 0) : max(column + side, 0)] = 0
    return result


def touched(before, after):
    return (before != after).flatten(1).any(1)


def test_colour_is_brightness_then_saturation_then_contrast():
    pixels = pictures(16, dtype=torch.float64)
    result = apply(pixels, "colour", stream="any")
    draws = uniform(1, "any/colour", torch.arange(16), 4).double()[:, 1:]
    for before, after, (first, second, third) in zip(pixels, result, draws, strict=True):
        expected = change_colours(before, first - 0.5, 2 * second, third + 0.5)
        torch.testing.assert_close(after, expected, rtol=1e-12, atol=1e-12)
    assert result.abs().max() > 1  # pixels may leave their range


@pytest.mark.parametrize("side", [32, 33])
def test_a_translation_moves_whole_pixels_at_most_an_eighth_of_the_side(side):
    pixels = pictures(40, side, low=0.1)
    moved = apply(pixels, "translation")
    shifts = [shift_of(*pair, round(side / 8)) for pair in zip(pixels, moved, strict=True)]
    assert len(set(shifts)) > 20
    narrow = pixels[:, :, :, :16].contiguous()
    for before, after in zip(narrow, apply(narrow, "translation"), strict=True):
        assert abs(shift_of(before, after, 4)[1]) <= 2


def test_all_translations_are_equally_frequent():
    pixels = torch.zeros(20_000, 1, 8, 8)
    pixels[:, :, 4, 4] = 1
    counts = apply(pixels, "translation").sum((0, 1))[3:6, 3:6]
    expected = len(pixels) / 9
    chi_square = ((counts - expected).square() / expected).sum().item()
    assert counts.sum() == len(pixels)
    assert 0.5 < chi_square < 27  # 8 degrees of freedom: beyond both ends is one in a thousand


@pytest.mark.parametrize("side", [8, 9])
def test_a_cut_is_a_square_of_half_the_side_that_may_stand_out(side):
    pixels = pictures(80, side, low=0.1)
    length = (side + 1) // 2
    corners = list(product(range(-length, side + 1), repeat=2))
    found = set()
    for before, after in zip(pixels, apply(pixels, "cutout"), strict=True):
        fits = [corner for corner in corners if torch.equal(cut(before, *corner, length), after)]
        assert fits
        found.add(fits[0])
    assert min(found)[0] < 0
    assert max(found)[0] > side - length


def test_cuts_leave_the_share_that_diff_augment_leaves():
    side, count = 16, 20_000
    left = apply(torch.ones(count, 1, side, side), "cutout").mean((0, 1))
    # by counting: along an axis the middle is at each of 0..side equally often
    hits = [sum(0 <= place - (middle - 4) < 8 for middle in range(17)) for place in range(side)]
    chances = torch.tensor(hits) / 17
    expected = 1 - chances[:, None] * chances[None, :]
    assert torch.allclose(left, expected, atol=5 * 0.5 / math.sqrt(count))


def test_operations_follow_one_another_as_in_diff_augment():
    pixels = pictures(16)
    step = apply(apply(pixels, "colour"), "translation")
    assert torch.equal(apply(pixels, *SWITCHES), apply(step, "cutout"))
    assert torch.equal(apply(pixels), pixels)


@pytest.mark.parametrize("name", SWITCHES)
def test_strength_is_the_share_of_samples_that_an_operation_touches(name):
    count = 4000
    pixels = pictures(count, 8, low=0.1)
    for strength in (0.0, 0.25, 1.0):
        share = strength * (8 / 9 if name == "translation" else 1.0)  # translations by nothing
        error = 5 * math.sqrt(share * (1 - share) / count)
        found = touched(pixels, apply(pixels, name, strength=strength)).double().mean().item()
        assert found == pytest.approx(share, abs=error)


def test_operations_touch_samples_independently():
    count = 8000
    pixels = pictures(count, 8, low=0.1)
    chosen = [touched(pixels, apply(pixels, name, strength=0.5)).double() for name in SWITCHES]
    correlations = torch.corrcoef(torch.stack(chosen)) - torch.eye(3)
    assert correlations.abs().max() < 5 / math.sqrt(count)


@pytest.mark.parametrize("part", [1, 5, 16])
def test_a_sample_does_not_depend_on_its_batch_or_layout(part):
    pixels = pictures(48)
    last = pixels.contiguous(memory_format=torch.channels_last)
    whole = apply(pixels, *SWITCHES, strength=0.7)
    noisy = add_instance_noise(pixels, 1.0, 1, "real", torch.arange(48))
    parts, noisy_parts = [], []
    for each, samples in zip(last.split(part), torch.arange(48).split(part), strict=True):
        parts.append(apply(each, *SWITCHES, strength=0.7, first=int(samples[0])))
        noisy_parts.append(add_instance_noise(each, 1.0, 1, "real", samples))
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(noisy, torch.cat(noisy_parts))
    assert not torch.equal(noisy, add_instance_noise(pixels, 1.0, 1, "fake", torch.arange(48)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_shape_dtype_and_layout_stay_and_so_do_the_pixels_that_came_in(dtype, layout, autocast):
    pixels = pictures(6, dtype=torch.float64).to(dtype).contiguous(memory_format=layout)
    before = pixels.clone()
    with torch.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext():
        result = apply(pixels, *SWITCHES)
        noise = add_instance_noise(pixels, 0.1, 1, "real", torch.arange(6))
    for each in (result, noise):
        assert (each.shape, each.dtype) == (pixels.shape, dtype)
        assert each.is_contiguous(memory_format=layout)
    assert torch.equal(result, apply(pixels.contiguous(), *SWITCHES))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("on", [*((name,) for name in SWITCHES), SWITCHES])
def test_gradients_are_right_also_the_second_ones(on):
    pixels = pictures(3, 8, dtype=torch.float64).requires_grad_()

    def mean_square(pixels):
        noisy = add_instance_noise(pixels, 0.5, 1, "real", torch.arange(3))
        return apply(noisy, *on, strength=0.7).square()

    assert torch.autograd.gradcheck(mean_square, (pixels,), fast_mode=True)
    assert torch.autograd.gradgradcheck(mean_square, (pixels,), fast_mode=True)


@pytest.mark.parametrize(
    ("start", "overfitting", "target", "expected"),
    [(0, 0.9, 0.6, 0.05), (0.5, 0.3, 0.6, 0.45), (0.5, 0.5, 0.5, 0.5), (0.5, math.nan, 0.5, 0.5)],
)
def test_ada_images_take_the_strength_from_0_to_1(start, overfitting, target, expected):
    overfitting = torch.tensor(overfitting).double()
    found = adapt_strength(
        torch.tensor(float(start)), overfitting, 64, params(target=target, images=1280)
    )
    assert found.item() == pytest.approx(expected, rel=1e-6)
    assert found.dtype == torch.float32


def test_noise_has_its_deviation_and_no_structure():
    pixels = pictures(100, 32, dtype=torch.float64)
    noise = add_instance_noise(pixels, 0.3, 1, "real", torch.arange(100)) - pixels
    count = noise.numel()
    assert noise.mean().item() == pytest.approx(0, abs=5 * 0.3 / math.sqrt(count))
    assert noise.std().item() == pytest.approx(0.3, abs=5 * 0.3 / math.sqrt(2 * count))
    for axis in (0, 1, 2, 3):
        neighbours = (noise * noise.roll(1, axis)).mean().item() / 0.3**2
        assert neighbours == pytest.approx(0, abs=5 / math.sqrt(count))


@pytest.mark.parametrize(
    ("images_seen", "expected"), [(0, 0.2), (250, 0.15), (1000, 0), (10**9, 0)]
)
def test_noise_falls_linearly_to_nothing(images_seen, expected):
    found = noise_deviation(NoiseParams(deviation=0.2, until=1000), images_seen)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_an_accelerator_gets_the_same():
    pixels, samples = pictures(32), torch.arange(32)
    found = []
    for device in ("cpu", "cuda"):
        there, where = pixels.to(device), samples.to(device)
        strength = torch.tensor(0.8, device=device)
        result = augment(there, params(*SWITCHES), strength, 1, "real", where)
        found.append(add_instance_noise(result, 0.2, 1, "real", where).cpu())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
