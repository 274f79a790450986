import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from gan.errors import GanError
from gan.metrics.descriptors import DescribedSample
from gan.metrics.sliced_wasserstein import (
    DIRECTIONS,
    PATCH,
    PATCHES,
    SCALE,
    SEED,
    enlarge,
    laplacian_pyramid,
    normalise,
    patches_of,
    wasserstein_distance,
)

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
CELLS = 3 * PATCH**2


def draw(seed, count=100, size=64):
    """Patches of flat colour: as in drawings, most of a fine level is 0 and little is large."""
    noise = np.random.default_rng(seed).normal(size=(count, 3, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 3, 3))
    return (60 * np.digitize(smooth, [-0.1, 0, 0.1]) + 30).astype(np.uint8)


def compare(real, fake):
    descriptor = patches_of(real.shape[2:])
    return descriptor.compare(descriptor.describe(real), descriptor.describe(fake))


def checkerboard(size):
    return (-1.0) ** np.add.outer(np.arange(size), np.arange(size))


def directions(dimensions):
    drawn = np.random.RandomState(SEED).randn(DIRECTIONS, dimensions)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


# the distance itself


def test_equal_sets_in_any_order_have_distance_0_and_as_many_of_both_are_compared():
    pictures = draw(0)
    for other in (pictures[::-1].copy(), pictures[np.arange(20) * 5]):
        assert set(compare(pictures, other).values()) == {0.0}


def test_a_shifted_set_is_as_far_either_way_as_the_mean_projection_of_the_shift():
    random = np.random.default_rng(0)
    a, shift = random.normal(size=(500, 12)), random.normal(size=12)
    expected = np.abs(directions(12) @ shift).mean()
    for pair in ((a, a[::-1] + shift), (a + shift, a)):
        assert wasserstein_distance(*pair) == pytest.approx(expected, rel=1e-9)
    # of the unit sphere's mean |coordinate|, which it estimates
    mean = math.exp(math.lgamma(6) - math.lgamma(6.5)) / math.sqrt(math.pi)
    assert expected == pytest.approx(np.linalg.norm(shift) * mean, rel=0.15)


def test_invalid_sets_are_one_line():
    good = np.zeros((10, 6))
    for other in (np.zeros((10, 5)), np.zeros((9, 6)), np.zeros((0, 6)), np.full((10, 6), np.nan)):
        with pytest.raises(GanError) as caught:
            wasserstein_distance(good, other)
        assert "\n" not in str(caught.value)


# the pyramid


@pytest.mark.parametrize("size", [32, 48, 64, 256])
def test_a_pyramid_gives_the_images_again_exactly(size):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, size, size)).astype(float)
    levels = laplacian_pyramid(images, 2 if size < 64 else 3)
    assert [each.shape[-1] for each in levels] == [size >> i for i in range(len(levels))]
    whole = levels[-1]
    for level in reversed(levels[:-1]):
        whole = level + enlarge(whole)
    assert np.array_equal(whole, images)


def test_a_level_is_that_of_the_published_filters():
    images = np.random.default_rng(0).normal(size=(2, 3, 32, 32))
    fine, coarse = laplacian_pyramid(images, 2)
    blurred = ndimage.convolve(images, KERNEL[None, None], mode="mirror")[:, :, ::2, ::2]
    apart = np.zeros_like(images)
    apart[:, :, ::2, ::2] = blurred
    enlarged = ndimage.convolve(apart, 4 * KERNEL[None, None], mode="mirror")
    assert np.allclose(coarse, blurred, atol=1e-12)
    assert np.allclose(fine, images - enlarged, atol=1e-12)


# the metric


def test_it_grows_with_blur():
    real, fake = draw(1, size=32), draw(2, size=32).astype(float)
    blurred = [ndimage.gaussian_filter(fake, (0, 0, width, width)) for width in (0, 0.7, 1.5)]
    values = [compare(real, np.rint(each).astype(np.uint8)) for each in blurred]
    finest = [each["sliced_wasserstein_32"] for each in values]
    assert finest == sorted(finest)
    assert finest[-1] > 1.5 * finest[0]


def test_checkerboards_on_flat_pictures_have_a_closed_form():
    # each level is 0, but fine patches of the fakes are +-1 once they are normalised: a projection
    # has half its mass at d and half at -d, and the real one is at 0
    flat = np.stack([np.full((3, 64, 64), level, np.uint8) for level in range(60, 180)])
    board = np.where(checkerboard(64) > 0, 4, -4)
    values = compare(flat, (flat + board).astype(np.uint8))
    pattern = np.broadcast_to(checkerboard(PATCH), (3, PATCH, PATCH)).ravel()
    expected = SCALE * np.abs(directions(CELLS) @ pattern).mean()
    assert values["sliced_wasserstein_64"] == pytest.approx(expected, rel=1e-3)
    assert values["sliced_wasserstein_32"] == 0
    assert values["sliced_wasserstein_16"] < expected / 100  # same levels of grey, as it were
    levels = [values[f"sliced_wasserstein_{side}"] for side in (64, 32, 16)]
    assert values["sliced_wasserstein"] == pytest.approx(np.mean(levels))


def test_colours_and_contrast_of_a_whole_set_are_normalised_away():
    patches = draw(0)[:, :, :PATCH, :PATCH].reshape(-1, 3, PATCH**2).astype(np.float32)
    scale = np.array([0.5, 2, 3], np.float32)[:, None]
    assert np.allclose(normalise(scale * patches + 11), normalise(patches), atol=1e-3)
    found = normalise(patches).reshape(-1, 3, PATCH**2)
    assert np.allclose(found.mean(axis=(0, 2)), 0, atol=1e-4)
    assert np.allclose(found.std(axis=(0, 2)), 1, atol=1e-4)
    assert np.array_equal(normalise(np.full_like(patches, 5)), np.zeros((len(patches), CELLS)))


@pytest.mark.parametrize("size", [32, 48, 96])
def test_patches_of_an_image_do_not_depend_on_its_batch(size):
    images, descriptor = draw(3, 40, size), patches_of((size, size))
    whole = descriptor.describe(images)
    assert whole.shape == (40, descriptor.dimensions)
    parts = [descriptor.describe(part) for part in np.split(images, [1, 8, 33])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_patches_lie_within_the_image_at_places_of_all_kinds():
    # a pixel says where it is; another channel makes the images differ
    images = np.zeros((200, 3, 16, 16), np.uint8)
    images[:, 0] = np.arange(256).reshape(16, 16)
    images[:, 1] = np.arange(200, dtype=np.uint8)[:, None, None]
    found = patches_of((16, 16)).describe(images).reshape(200, PATCHES, 3, PATCH, PATCH)
    corners = found[:, :, 0, 0, 0]
    offsets = np.add.outer(16 * np.arange(PATCH), np.arange(PATCH))
    assert np.array_equal(found[:, :, 0], corners[:, :, None, None] + offsets)
    assert {divmod(int(each), 16) for each in corners.ravel()} == set(np.ndindex(10, 10))


@pytest.mark.parametrize(
    ("size", "levels"), [(16, 1), (32, 2), (48, 2), (64, 3), (96, 3), (128, 4), (256, 5)]
)
def test_there_is_a_level_for_each_side_down_to_16(size, levels):
    images = np.random.default_rng(0).integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    names = [f"sliced_wasserstein_{size >> i}" for i in range(levels)]
    assert [*compare(images, images)] == ["sliced_wasserstein", *names]


@pytest.mark.parametrize("size", [(64, 48), (40, 40), (8, 8), (512, 512)])
def test_other_sizes_are_refused_in_one_line(size):
    with pytest.raises(GanError, match=f"{size[1]}x{size[0]}") as caught:
        patches_of(size)
    assert "\n" not in str(caught.value)


# samples


@pytest.mark.parametrize("length", [50, 64, 5300])
def test_a_sample_is_evenly_spaced_whatever_the_batches(length):
    descriptor = patches_of((16, 16))
    images = np.zeros((5300, 3, 16, 16), np.uint8)
    images += (np.arange(5300) % 256).astype(np.uint8)[:, None, None, None]
    sample = DescribedSample([descriptor], len(images))
    batches = torch.split(torch.from_numpy(images), length)
    assert all(out is given for out, given in zip(sample.watch(batches), batches, strict=True))
    expected = (np.arange(5000) * 5300 // 5000) % 256
    assert np.array_equal(sample.vectors["patches"][:, 0], expected)
