"""Batches of real pixels: each image once an epoch, each sample the same however it is read."""

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from gan.pixels import to_images, to_pixels
from gan.randomness import permutation, uniform
from gan.training.batches import FLIPS_PER_DRAW, Batches, Order, Reader, Resident

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ten_images():
    """Ten images; the red of image i is i on its left half and i + 100 on its right half."""
    images = np.zeros((10, 4, 4, 3), dtype=np.uint8)
    images[:, :, :2, 0] = np.arange(10)[:, None, None]
    images[:, :, 2:, 0] = np.arange(10)[:, None, None] + 100
    return images


def samples(images, count, batch_size, *, seed=1, flip=True):
    batches = Batches(images, seed, batch_size, flip, CPU)
    read = [batches(first) for first in range(0, count, batch_size)]
    return torch.cat(read)[:count]


def identify(pixels):
    """Indices of these images, and whether each is mirrored."""
    left, right = (to_images(pixels)[:, 0, 0, column].numpy() for column in (0, 3))
    return np.minimum(left, right), left > right


@pytest.mark.parametrize("batch_size", [2, 7, 10, 25])
def test_every_epoch_shows_every_image_once_in_another_order(ten_images, batch_size):
    which, _ = identify(samples(ten_images, 100, batch_size))
    epochs = which.reshape(10, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 10


def test_a_sample_is_the_same_however_it_is_read_and_another_with_another_seed(ten_images):
    assert torch.equal(samples(ten_images, 105, 3), samples(ten_images, 105, 7))
    assert not torch.equal(samples(ten_images, 50, 5), samples(ten_images, 50, 5, seed=2))
    late = Batches(ten_images, 1, 4, True, CPU)
    for first in range(0, 96, 4):
        late(first)
    assert torch.equal(late(96), Batches(ten_images, 1, 4, True, CPU)(96))


def test_about_half_of_the_samples_of_every_image_are_mirrored(ten_images):
    which, mirrored = identify(samples(ten_images, 5000, 50))
    assert mirrored.mean() == pytest.approx(0.5, abs=0.035)  # five standard errors
    for image in range(10):
        assert 0.3 < mirrored[which == image].mean() < 0.7


def test_without_flips_images_come_as_they_are(ten_images):
    pixels = samples(ten_images, 10, 5, flip=False)
    which, mirrored = identify(pixels)
    assert not mirrored.any()
    expected = torch.from_numpy(ten_images[which]).permute(0, 3, 1, 2)
    assert torch.equal(to_images(pixels), expected)


def by_definition(images, first, size, *, seed=1):
    """Pixels of samples first, ..., one after the other, as the words of Batches say."""
    pixels = []
    for sample in range(first, first + size):
        epoch, place = divmod(sample, len(images))
        image = images[permutation(seed, "order", epoch, len(images))[place]]
        if uniform(seed, "flip", torch.tensor([sample])).item() < 0.5:
            image = image[:, ::-1].copy()
        pixels.append(to_pixels(torch.from_numpy(image)).permute(2, 0, 1))
    return torch.stack(pixels)


@pytest.mark.parametrize("count", [1, 7, 50])
@pytest.mark.parametrize("first", [0, 49, FLIPS_PER_DRAW - 5, 10**12])
def test_batches_are_what_they_are_by_definition(noise_images, count, first):
    random = torch.random.get_rng_state()
    images = noise_images[:count]
    with closing(Batches(images, 1, 9, True, CPU)) as batches:
        pixels = batches(first)
    assert torch.equal(pixels, by_definition(images, first, 9))
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert pixels.dtype == torch.float32
    assert torch.equal(torch.random.get_rng_state(), random)


@pytest.mark.parametrize("flip", [True, False])
def test_images_that_stay_on_a_device_give_the_same_batches(noise_images, flip):
    order = Order(1, len(noise_images), flip, CPU)
    resident = Resident(torch.from_numpy(noise_images), order, 16)
    reader = Reader(noise_images, Order(1, len(noise_images), flip, CPU), 16, CPU)
    for first in [*range(0, 160, 16), FLIPS_PER_DRAW - 8, 3]:
        assert torch.equal(resident(first), reader(first))


def test_an_order_is_made_once_an_epoch(noise_images, monkeypatch):
    made = []
    monkeypatch.setattr(
        "gan.training.batches.permutation", lambda *key: made.append(key[2]) or permutation(*key)
    )
    batches = Batches(noise_images, 1, 16, True, CPU)
    for first in range(0, 500, 16):
        batches(first)
        batches(max(0, first - 16))  # a look back over an epoch's end makes nothing anew
    assert made == list(range(11))


def flags_of_mapping(path):
    """Linux's flags of a file's mapping, which hold the advice on read-ahead."""
    found = Path("/proc/self/smaps").read_text().split(str(path), 1)[1]
    return found.split("VmFlags:", 1)[1].splitlines()[0].split()


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("memory", "large"), [(50 * 3072, True), (200 * 3072, False)])
def test_only_files_too_large_for_memory_are_read_without_their_surroundings(
    noise_images, tmp_path, monkeypatch, memory, large
):
    monkeypatch.setattr("gan.training.batches._host_memory", lambda: memory)
    np.save(tmp_path / "images.npy", noise_images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")[:40]
    batches = Batches(images, 1, 16, True, CPU)
    assert ("rr" in flags_of_mapping(tmp_path / "images.npy")) == large
    for first in range(0, 160, 16):
        assert torch.equal(batches(first), by_definition(noise_images[:40], first, 16))


def test_images_stay_as_they_are_and_may_lie_in_memory_in_any_way(noise_images):
    before = noise_images.copy()
    Batches(noise_images, 1, 50, True, CPU)(0).zero_()
    assert np.array_equal(noise_images, before)
    for images in (noise_images[::2], noise_images.transpose(0, 2, 1, 3)):
        pixels = Batches(images, 1, 16, True, CPU)(0)
        assert torch.equal(pixels, by_definition(images, 0, 16))
