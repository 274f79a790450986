"""Batches of real pixels: each image once an epoch, each sample the same however it is read."""

import numpy as np
import pytest
import torch

from gan.batches import Batches
from gan.pixels import to_images

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def numbered():
    """Ten images; the red of image i is i on its left half and i + 100 on its right half."""
    images = np.zeros((10, 4, 4, 3), dtype=np.uint8)
    images[:, :, :2, 0] = np.arange(10)[:, None, None]
    images[:, :, 2:, 0] = np.arange(10)[:, None, None] + 100
    return images


def samples(images, count, batch_size, *, seed=1, flip=True):
    batches = Batches(images, seed, batch_size, flip, CPU)
    read = [batches(first) for first in range(0, count, batch_size)]
    return torch.cat(read)[:count]


def seen(pixels):
    """Which images these are, and which of them are mirrored."""
    left, right = (to_images(pixels)[:, 0, 0, column].numpy() for column in (0, 3))
    return np.minimum(left, right), left > right


@pytest.mark.parametrize("batch_size", [2, 3, 7, 10, 25])
def test_every_epoch_shows_every_image_once(numbered, batch_size):
    which, _ = seen(samples(numbered, 100, batch_size))
    for epoch in which.reshape(10, 10):
        assert sorted(epoch) == list(range(10))


def test_epochs_have_different_orders(numbered):
    which, _ = seen(samples(numbered, 100, 10))
    assert len({tuple(epoch) for epoch in which.reshape(10, 10)}) == 10


def test_a_sample_is_the_same_however_it_is_read(numbered):
    assert torch.equal(samples(numbered, 105, 3), samples(numbered, 105, 7))


def test_a_batch_that_is_read_first_is_the_one_that_is_read_late(numbered):
    late = Batches(numbered, 1, 4, True, CPU)
    for first in range(0, 96, 4):
        late(first)
    assert torch.equal(late(96), Batches(numbered, 1, 4, True, CPU)(96))


def test_seeds_give_different_orders(numbered):
    assert not torch.equal(samples(numbered, 50, 5, seed=1), samples(numbered, 50, 5, seed=2))


def test_about_half_of_the_samples_are_mirrored(numbered):
    _, mirrored = seen(samples(numbered, 5000, 50))
    assert mirrored.mean() == pytest.approx(0.5, abs=0.035)  # five standard errors


def test_an_image_is_mirrored_in_some_epochs_and_not_in_others(numbered):
    which, mirrored = seen(samples(numbered, 400, 10))
    for image in range(10):
        assert 0 < mirrored[which == image].mean() < 1


def test_without_flips_images_come_as_they_are(numbered):
    pixels = samples(numbered, 10, 5, flip=False)
    which, mirrored = seen(pixels)
    assert not mirrored.any()
    expected = torch.from_numpy(numbered[which]).permute(0, 3, 1, 2)
    assert torch.equal(to_images(pixels), expected)


def test_pixels_are_between_minus_one_and_one(noise_images):
    pixels = Batches(noise_images, 1, 16, True, CPU)(0)
    assert pixels.shape == (16, 3, 32, 32)
    assert pixels.dtype == torch.float32
    assert (pixels.min(), pixels.max()) == (-1, 1)


def test_one_image_is_enough(numbered):
    which, _ = seen(samples(numbered[3:4], 20, 6))
    assert set(which) == {3}


def test_a_memory_map_gives_what_an_array_gives(tmp_path, noise_images):
    np.save(tmp_path / "images.npy", noise_images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    expected = samples(noise_images, 120, 8)
    assert torch.equal(samples(mapped, 120, 8), expected)
    assert torch.equal(samples(mapped[:30], 60, 8), samples(noise_images[:30], 60, 8))
