"""Augmentation against what each operation does to one picture; ADA's controller; noise."""

import math
from contextlib import nullcontext
from itertools import product

import pytest
import torch

from gan.params.train import AugmentParams, NoiseParams
from gan.randomness import uniform
from gan.training.augment import (
    _to_integers,
    _translate,
    adapt_strength,
    add_instance_noise,
    augment,
    noise_deviation,
)

SWITCHES = ("colour", "translation", "cutout")
ALWAYS = torch.tensor(1.0)


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


def test_colour_is_brightness_then_saturation_then_contrast():
    pixels = pictures(16, dtype=torch.float64)
    result = apply(pixels, "colour", stream="any")
    draws = uniform(1, "any/colour", torch.arange(16), 4).double()[:, 1:]
    for before, after, (first, second, third) in zip(pixels, result, draws, strict=True):
        expected = change_colours(before, first - 0.5, 2 * second, third + 0.5)
        torch.testing.assert_close(after, expected, rtol=1e-12, atol=1e-12)


def test_brightness_saturation_and_contrast_fill_their_ranges():
    pixels = pictures(2000, 2, dtype=torch.float64)
    result = apply(pixels, "colour")
    brightness = (result - pixels).mean((1, 2, 3))
    contrast_grey = result.mean(1).var((1, 2)) / pixels.mean(1).var((1, 2))
    contrast = contrast_grey.sqrt()
    spread = (result - result.mean(1, keepdim=True)).std((1, 2, 3))
    saturation = spread / (pixels - pixels.mean(1, keepdim=True)).std((1, 2, 3)) / contrast
    for found, low, high in [
        (brightness, -0.5, 0.5),
        (saturation, 0.0, 2.0),
        (contrast, 0.5, 1.5),
    ]:
        assert low <= found.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < found.max() <= high
        error = 5 * (high - low) / math.sqrt(12 * len(found))
        assert found.mean().item() == pytest.approx((low + high) / 2, abs=error)


def test_pixels_may_leave_their_range():
    assert apply(pictures(16), "colour").abs().max() > 1


@pytest.mark.parametrize("side", [32, 48, 33])
def test_a_translation_moves_whole_pixels_at_most_an_eighth_of_the_side(side):
    pixels = pictures(40, side, low=0.1)
    farthest = round(side / 8)
    moved = apply(pixels, "translation")
    shifts = [shift_of(*pair, farthest) for pair in zip(pixels, moved, strict=True)]
    assert len(set(shifts)) > 20


def test_all_translations_are_equally_frequent():
    pixels = torch.zeros(20_000, 1, 8, 8)
    pixels[:, :, 4, 4] = 1
    moved = apply(pixels, "translation")
    counts = moved.sum((0, 1))
    expected = len(pixels) / 9
    chi_square = ((counts[3:6, 3:6] - expected).square() / expected).sum().item()
    assert counts[3:6, 3:6].sum() == len(pixels)
    assert 0.5 < chi_square < 27  # 8 degrees of freedom: beyond both ends is one in a thousand


def test_pictures_need_not_be_square():
    pixels = pictures(20, low=0.1)[:, :, :, :16].contiguous()
    for before, after in zip(pixels, apply(pixels, "translation"), strict=True):
        assert abs(shift_of(before, after, 4)[1]) <= 2


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
    chances = torch.tensor(
        [
            sum(0 <= place - (middle - 4) < 8 for middle in range(side + 1)) / (side + 1)
            for place in range(side)
        ]
    )
    expected = 1 - chances[:, None] * chances[None, :]
    assert torch.allclose(left, expected, atol=5 * 0.5 / math.sqrt(count))


def test_operations_follow_one_another_as_in_diff_augment():
    pixels = pictures(16)
    step = apply(apply(pixels, "colour"), "translation")
    assert torch.equal(apply(pixels, *SWITCHES), apply(step, "cutout"))


def test_nothing_switched_on_changes_nothing():
    pixels = pictures(4)
    assert torch.equal(apply(pixels), pixels)


@pytest.mark.parametrize("name", SWITCHES)
def test_strength_is_the_share_of_samples_that_an_operation_touches(name):
    count = 4000
    pixels = pictures(count, 8, low=0.1)
    for strength in (0.0, 0.25, 0.5, 1.0):
        result = apply(pixels, name, strength=strength)
        touched = (result != pixels).flatten(1).any(1).double().mean().item()
        # translations by nothing, one of nine
        visible = 8 / 9 if name == "translation" else 1.0
        share = strength * visible
        error = 5 * math.sqrt(share * (1 - share) / count)
        assert touched == pytest.approx(share, abs=error)


def test_operations_touch_samples_independently():
    count = 8000
    touched = [
        (uniform(1, f"real/{name}", torch.arange(count), 3)[:, 0] < 0.5).double()
        for name in SWITCHES
    ]
    correlations = torch.corrcoef(torch.stack(touched)) - torch.eye(3)
    assert correlations.abs().max() < 5 / math.sqrt(count)
    # and that these are the draws that decide
    pixels = pictures(count, 8, low=0.1)
    for name, expected in zip(SWITCHES[::2], touched[::2], strict=True):
        changed = (apply(pixels, name, strength=0.5) != pixels).flatten(1).any(1)
        assert torch.equal(changed, expected.bool())


def test_a_greater_strength_touches_the_same_samples_and_more():
    pixels = pictures(200, 8)
    weak, strong = (apply(pixels, "cutout", strength=share) for share in (0.3, 0.6))
    same = (weak == strong).flatten(1).all(1)
    assert torch.equal(weak[~same], pixels[~same])


@pytest.mark.parametrize("part", [1, 5, 16])
def test_a_samples_augmentation_does_not_depend_on_its_batch(part):
    pixels = pictures(48)
    whole = apply(pixels, *SWITCHES, strength=0.7)
    parts = [
        apply(each, *SWITCHES, strength=0.7, first=index * part)
        for index, each in enumerate(pixels.split(part))
    ]
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("name", SWITCHES)
def test_streams_seeds_and_samples_differ(name):
    pixels = pictures(1, 64).expand(50, -1, -1, -1)
    here = apply(pixels, name)
    for other in ({"stream": "fake"}, {"seed": 2}, {"first": 1000}):
        there = apply(pixels, name, **other)
        assert (here != there).flatten(1).any(1).double().mean() > 0.9
    assert (here[1:] != here[:-1]).flatten(1).any(1).double().mean() > 0.9


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_shape_dtype_and_layout_stay(dtype, layout, autocast):
    pixels = pictures(6, dtype=torch.float64).to(dtype).contiguous(memory_format=layout)
    context = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext()
    with context:
        result = apply(pixels, *SWITCHES)
        noise = add_instance_noise(pixels, 0.1, 1, "real", torch.arange(6))
    expected = apply(pixels.contiguous(), *SWITCHES)
    for each in (result, noise):
        assert (each.shape, each.dtype) == (pixels.shape, dtype)
        assert each.is_contiguous(memory_format=layout)
    assert torch.equal(result, expected)


def test_pixels_that_came_in_are_left_alone():
    pixels = pictures(8)
    before = pixels.clone()
    apply(pixels, *SWITCHES)
    add_instance_noise(pixels, 0.5, 1, "real", torch.arange(8))
    assert torch.equal(pixels, before)


def test_the_gradient_of_a_translation_is_the_translation_back():
    pixels = pictures(20, low=0.1).requires_grad_()
    upstream = pictures(20, seed=1)
    result = apply(pixels, "translation")
    (found,) = torch.autograd.grad(result, pixels, upstream)
    for index, (before, after) in enumerate(zip(pixels, result, strict=True)):
        down, right = shift_of(before, after, 4)
        assert torch.equal(found[index], translate(upstream[index], -down, -right))


@pytest.mark.parametrize("on", [*((name,) for name in SWITCHES), SWITCHES])
def test_gradients_are_right_also_the_second_ones(on):
    pixels = pictures(3, 8, dtype=torch.float64).requires_grad_()

    def mean_square(pixels):
        return apply(pixels, *on, strength=0.7).square()

    assert torch.autograd.gradcheck(mean_square, (pixels,), fast_mode=True)
    assert torch.autograd.gradgradcheck(mean_square, (pixels,), fast_mode=True)


def test_the_greatest_draw_stays_inside():
    counts = torch.arange(1, 2000)
    greatest = 1 - 2.0**-24
    assert torch.equal(
        torch.stack([_to_integers(torch.tensor(greatest), int(count)) for count in counts]),
        counts - 1,
    )
    draws = torch.full((1, 2), greatest)
    for side in (8, 9, 32, 256):
        picture = torch.zeros(1, 1, side, side)
        picture[..., 0, 0] = 1
        moved = _translate(picture, torch.tensor([True]), draws)
        farthest = round(side / 8)
        assert moved[0, 0, farthest, farthest] == 1


def settle(start, images, gain, params, steps=4000):
    """Overfitting and strength of a made-up discriminator that overfits more and more.

    Overfitting grows to 1 with time, and the strength takes `gain` times itself off.
    """
    strength, history = torch.tensor(start), []
    for step in range(steps):
        pressure = 1 - math.exp(-step / 500)
        overfitting = torch.tensor(pressure) - gain * strength
        strength = adapt_strength(strength, overfitting, images, params)
        history.append((overfitting.item(), strength.item()))
    return torch.tensor(history).T


def test_strength_settles_where_overfitting_is_on_target():
    overfitting, strength = settle(0.0, 2, 0.8, params(target=0.6, images=1000))
    assert overfitting[-500:].mean().item() == pytest.approx(0.6, abs=0.01)
    assert overfitting[-500:].std() < 0.01
    # 1 - 0.8 s = 0.6 at the end
    assert strength[-500:].mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_strength_recovers_from_either_end(start):
    overfitting, _ = settle(start, 2, 0.8, params(target=0.6, images=1000))
    assert overfitting[-500:].mean().item() == pytest.approx(0.6, abs=0.01)


def test_strength_stays_at_the_end_if_that_is_not_enough():
    _, strength = settle(0.0, 2, 0.1, params(target=0.6, images=1000))
    assert strength[-1] == 1
    assert strength.min() == 0
    assert strength.max() == 1


def test_ada_images_take_the_strength_from_0_to_1():
    strength = torch.tensor(0.0)
    for _ in range(10):
        strength = adapt_strength(strength, torch.tensor(0.9), 64, params(target=0.6, images=1280))
    assert strength.item() == pytest.approx(0.5, rel=1e-6)
    for _ in range(5):
        strength = adapt_strength(strength, torch.tensor(0.3), 64, params(target=0.6, images=1280))
    assert strength.item() == pytest.approx(0.25, rel=1e-6)


def test_overfitting_that_is_on_target_or_not_a_number_moves_nothing():
    start = torch.tensor(0.25)
    # 0.5 has no rounding
    for overfitting in (0.5, math.nan):
        now = adapt_strength(start, torch.tensor(overfitting), 100, params(target=0.5))
        assert now == start


def test_strength_keeps_its_precision():
    found = adapt_strength(torch.tensor(0.5), torch.tensor(0.9).double(), 8, params(target=0.6))
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


@pytest.mark.parametrize("part", [1, 7, 32])
def test_a_samples_noise_does_not_depend_on_its_batch_or_layout(part):
    pixels = torch.zeros(64, 3, 32, 32)
    whole = add_instance_noise(pixels, 1.0, 1, "real", torch.arange(64))
    last = torch.zeros_like(pixels, memory_format=torch.channels_last)
    parts = [
        add_instance_noise(each, 1.0, 1, "real", samples)
        for each, samples in zip(last.split(part), torch.arange(64).split(part), strict=True)
    ]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, add_instance_noise(pixels, 1.0, 1, "fake", torch.arange(64)))


def test_noise_lets_gradients_through():
    pixels = pictures(2, 8).requires_grad_()
    upstream = pictures(2, 8, seed=1)
    result = add_instance_noise(pixels, 0.5, 1, "real", torch.arange(2))
    (found,) = torch.autograd.grad(result, pixels, upstream)
    assert torch.equal(found, upstream)


@pytest.mark.parametrize(
    ("images_seen", "expected"), [(0, 0.2), (250, 0.15), (999, 0.0002), (1000, 0), (10**9, 0)]
)
def test_noise_falls_linearly_to_nothing(images_seen, expected):
    found = noise_deviation(NoiseParams(deviation=0.2, until=1000), images_seen)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found >= 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_an_accelerator_gets_the_same_and_never_waits():
    pixels = pictures(32)
    samples = torch.arange(32)
    expected = augment(pixels, params(*SWITCHES), torch.tensor(0.8), 1, "real", samples)
    expected = add_instance_noise(expected, 0.2, 1, "real", samples)
    there, where, strength = (each.cuda() for each in (pixels, samples, torch.tensor(0.8)))
    overfitting = torch.tensor(0.9, device="cuda")
    there = there.contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = augment(there, params(*SWITCHES), strength, 1, "real", where)
        result = add_instance_noise(result, 0.2, 1, "real", where)
        (gradient,) = torch.autograd.grad(result.square().sum(), there, create_graph=True)
        gradient.square().sum().backward()
        strength = adapt_strength(strength, overfitting, 8, params(*SWITCHES, target=0.6))
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-5, atol=1e-5)
    assert strength.item() == pytest.approx(0.808, rel=1e-6)
