"""Measures of avatars, against definitions and images with known values."""

import hashlib

import imagehash
import numpy as np
import pytest
from PIL import Image

from pipeline.gallery.painter import paint
from pipeline.preprocessing.measures import MEASURES_DTYPE, NEAR, QUALITY_MEASURES, measure, phash

SIZE = 32


@pytest.fixture(scope="module")
def images():
    """(41,32,32,3): noise, smooth pictures, drawn faces, plain ones."""
    rng = np.random.default_rng(0)
    noise = list(rng.integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8))
    small = rng.integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(each).resize((SIZE, SIZE))) for each in small]
    drawn = [np.asarray(paint(seed, SIZE)) for seed in range(12)]
    plain = [np.full((SIZE, SIZE, 3), level, np.uint8) for level in (0, 31, 32, 128, 255)]
    return np.stack(noise + smooth + drawn + plain)


@pytest.mark.parametrize("size", [32, 48, 128])
def test_an_image_measures_the_same_alone_and_in_every_batch(size):
    rng = np.random.default_rng(size)
    batch = rng.integers(0, 256, (37, size, size, 3), dtype=np.uint8)
    together = measure(batch, hashes=True, quality=True)
    alone = [measure(each[None], hashes=True, quality=True) for each in batch]
    split = [
        measure(part, hashes=True, quality=True) for part in (batch[:5], batch[5:36], batch[36:])
    ]
    assert together.dtype == MEASURES_DTYPE
    assert together.tobytes() == np.concatenate(alone).tobytes()
    assert together.tobytes() == np.concatenate(split).tobytes()


def test_the_hashes_equal_imagehash(images):
    measured = measure(images, hashes=True, quality=False)
    for image, row in zip(images, measured, strict=True):
        picture = Image.fromarray(image)
        assert f"{row['dhash']:016x}" == str(imagehash.dhash(picture))
        assert f"{phash(image):016x}" == str(imagehash.phash(picture))


def test_digests_and_sums_are_exact_up_to_the_brightest_large_image():
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    batch = np.concatenate([noise, np.full((1, 128, 128, 3), 255, np.uint8)])
    measured = measure(batch, hashes=False, quality=False)
    for image, row in zip(batch, measured, strict=True):
        assert row["digest"].tobytes() == hashlib.sha256(image.tobytes()).digest()
    assert not measured["dhash"].any()
    assert all(np.isnan(measured[name]).all() for name in QUALITY_MEASURES)
    wide = batch.astype(np.int64)
    assert (measured["total"] == wide.sum(axis=(1, 2))).all()
    assert (measured["squares"] == (wide**2).sum(axis=(1, 2))).all()


# --- looks ---


def test_contrast_and_colour_equal_their_definitions(images):
    measured = measure(images, hashes=False, quality=True)
    expected = np.sqrt(images.astype(float).var(axis=(1, 2)).mean(axis=1))
    np.testing.assert_allclose(measured["contrast"], expected, rtol=1e-6)
    expected = np.ptp(images.astype(int), axis=3).mean(axis=(1, 2))
    np.testing.assert_array_equal(measured["colour"], expected.astype(np.float32))


def test_the_share_of_one_colour_is_counted_around_the_median(images):
    measured = measure(images, hashes=False, quality=True)["one_colour"]
    for image, share in zip(images.astype(int), measured, strict=True):
        median = np.sort(image.reshape(-1, 3), axis=0)[SIZE * SIZE // 2 - 1]
        near = (np.abs(image - median) <= NEAR).all(axis=2)
        assert share == np.float32(near.mean())


def test_sharpness_is_the_variance_of_the_laplacian_of_the_luma(images):
    measured = measure(images, hashes=False, quality=True)["sharpness"]
    for image, sharpness in zip(images, measured, strict=True):
        levels = np.asarray(Image.fromarray(image).convert("L")).astype(int)
        laplacian = [
            4 * levels[y, x]
            - levels[y, x - 1 : x + 2 : 2].sum()
            - levels[y - 1 : y + 2 : 2, x].sum()
            for y in range(1, SIZE - 1)
            for x in range(1, SIZE - 1)
        ]
        assert sharpness == pytest.approx(np.var(laplacian), rel=1e-6)


def test_a_plane_has_no_sharpness_and_a_checkerboard_the_most():
    ramp = np.add.outer(3 * np.arange(SIZE), 2 * np.arange(SIZE)).astype(np.uint8)
    board = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    for levels, expected in ((ramp, 0), (board, (4 * 255) ** 2)):
        image = np.stack([levels] * 3, axis=2)[None]
        assert measure(image, hashes=False, quality=True)["sharpness"] == expected
