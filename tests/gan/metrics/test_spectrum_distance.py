import math

import numpy as np
import pytest
from scipy import ndimage

from gan.errors import GanError
from gan.metrics.spectrum_distance import spectrum_distance, spectrum_of

SIZES = [(32, 32), (48, 48), (64, 64), (96, 96), (256, 256), (33, 33), (20, 48), (48, 20), (2, 90)]


def smooth(seed, blur=1.5, count=200, size=32):
    values = np.random.default_rng(seed).normal(size=(count, 3, size, size))
    blurred = ndimage.gaussian_filter(values, (0, 0, blur, blur), mode="wrap")
    return np.clip(128 + 40 * blurred / blurred.std() + values, 0, 255).astype(np.uint8)


def powers(images):
    return spectrum_of(images.shape[2:]).describe(images)


def compare(real, fake):
    descriptor = spectrum_of(real.shape[2:])
    return descriptor.compare(descriptor.describe(real), descriptor.describe(fake))["spectrum"]


# powers


@pytest.mark.parametrize("size", SIZES)
def test_powers_are_those_of_the_whole_transform_averaged_over_rings(size):
    height, width = size
    images = np.random.default_rng(0).integers(0, 256, (2, 3, *size), dtype=np.uint8)
    power = (np.abs(np.fft.fft2(images)) ** 2 / (height * width)).mean(axis=1)
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * max(size)
    rings = np.rint(distance).astype(int)
    expected = [power[:, rings == ring].mean(axis=1) for ring in range(1, rings.max() + 1)]
    assert np.allclose(powers(images).T, expected, rtol=1e-5)


def test_powers_do_not_depend_on_the_batch():
    images = smooth(0, count=40)
    parts = [powers(part) for part in np.split(images, [1, 8, 33])]
    assert np.array_equal(np.concatenate(parts), powers(images))


# distance


def test_equal_sets_and_shifted_colours_have_distance_0():
    images = smooth(0)
    assert compare(images, images[::-1].copy()) == pytest.approx(0, abs=1e-6)
    assert compare(images // 2, images // 2 + 30) == pytest.approx(0, abs=1e-6)


def test_powers_have_a_closed_form():
    real, fake = np.ones((3, 4)), np.array([[100.0, 1, 1, 1], [100, 1, 1, 1]])
    assert spectrum_distance(real, fake) == pytest.approx(20 / math.sqrt(4))
    assert spectrum_distance(fake, real) == spectrum_distance(real, fake)
    # the mean of powers counts, not of their logarithms
    assert spectrum_distance(real, np.array([[199.0, 1, 1, 1], [1, 1, 1, 1]])) == pytest.approx(10)


def test_less_power_than_rounding_has_counts_as_that():
    silent, still = np.zeros((2, 5)), np.full((2, 5), 1 / 24)
    assert spectrum_distance(silent, still) == 0
    loud = np.full((2, 5), 10 / 12)
    assert spectrum_distance(silent, loud) == pytest.approx(10)
    flat = np.full((3, 3, 32, 32), 77, np.uint8)
    assert compare(flat, flat + 9) == 0


def test_it_grows_with_blur_and_noise():
    real, fake = smooth(0), smooth(1).astype(float)
    blurred = [ndimage.gaussian_filter(fake, (0, 0, s, s)) for s in (0, 0.4, 0.8, 1.6)]
    added = np.random.default_rng(2).normal(size=fake.shape)
    noisy = [np.clip(np.rint(fake + s * added), 0, 255) for s in (0, 1, 4, 16)]
    for series in (blurred, noisy):
        values = [compare(real, each.astype(np.uint8)) for each in series]
        assert values == sorted(values)
        assert values[-1] > 10 * values[0]


def test_invalid_powers_and_sizes_are_one_line():
    good = np.ones((10, 6))
    for other in (np.ones((10, 5)), np.ones((0, 6)), np.full((10, 6), np.inf)):
        with pytest.raises(GanError) as caught:
            spectrum_distance(good, other)
        assert "\n" not in str(caught.value)
    with pytest.raises(GanError, match="5x1"):
        spectrum_of((1, 5))
