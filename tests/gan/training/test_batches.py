"""Batches of real pixels: each image once an epoch, each sample the same however it is read."""

import sys
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


@pytest.mark.parametrize("batch_size", [2, 3, 7, 10, 25])
def test_every_epoch_shows_every_image_once(ten_images, batch_size):
    which, _ = identify(samples(ten_images, 100, batch_size))
    for epoch in which.reshape(10, 10):
        assert sorted(epoch) == list(range(10))


def test_epochs_have_different_orders(ten_images):
    which, _ = identify(samples(ten_images, 100, 10))
    assert len({tuple(epoch) for epoch in which.reshape(10, 10)}) == 10


def test_a_sample_is_the_same_however_it_is_read(ten_images):
    assert torch.equal(samples(ten_images, 105, 3), samples(ten_images, 105, 7))


def test_a_batch_that_is_read_first_is_the_one_that_is_read_late(ten_images):
    late = Batches(ten_images, 1, 4, True, CPU)
    for first in range(0, 96, 4):
        late(first)
    assert torch.equal(late(96), Batches(ten_images, 1, 4, True, CPU)(96))


def test_seeds_give_different_orders(ten_images):
    assert not torch.equal(samples(ten_images, 50, 5, seed=1), samples(ten_images, 50, 5, seed=2))


def test_about_half_of_the_samples_are_mirrored(ten_images):
    _, mirrored = identify(samples(ten_images, 5000, 50))
    assert mirrored.mean() == pytest.approx(0.5, abs=0.035)  # five standard errors


def test_an_image_is_mirrored_in_some_epochs_and_not_in_others(ten_images):
    which, mirrored = identify(samples(ten_images, 400, 10))
    for image in range(10):
        assert 0 < mirrored[which == image].mean() < 1


def test_without_flips_images_come_as_they_are(ten_images):
    pixels = samples(ten_images, 10, 5, flip=False)
    which, mirrored = identify(pixels)
    assert not mirrored.any()
    expected = torch.from_numpy(ten_images[which]).permute(0, 3, 1, 2)
    assert torch.equal(to_images(pixels), expected)


def test_pixels_are_between_minus_one_and_one(noise_images):
    pixels = Batches(noise_images, 1, 16, True, CPU)(0)
    assert pixels.shape == (16, 3, 32, 32)
    assert pixels.dtype == torch.float32
    assert (pixels.min(), pixels.max()) == (-1, 1)


def test_one_image_is_enough(ten_images):
    which, _ = identify(samples(ten_images[3:4], 20, 6))
    assert set(which) == {3}


def test_a_memory_map_gives_what_an_array_gives(tmp_path, noise_images):
    np.save(tmp_path / "images.npy", noise_images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    expected = samples(noise_images, 120, 8)
    assert torch.equal(samples(mapped, 120, 8), expected)
    assert torch.equal(samples(mapped[:30], 60, 8), samples(noise_images[:30], 60, 8))


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


@pytest.mark.parametrize("count", [1, 2, 7, 50])
@pytest.mark.parametrize("first", [0, 3, 49, FLIPS_PER_DRAW - 5, 10**12])
def test_batches_are_what_they_are_by_definition(noise_images, count, first):
    images = noise_images[:count]
    pixels = Batches(images, 1, 9, True, CPU)(first)
    assert torch.equal(pixels, by_definition(images, first, 9))


@pytest.mark.parametrize("flip", [True, False])
def test_images_that_stay_on_a_device_give_the_same_batches(noise_images, flip):
    order = Order(1, len(noise_images), flip, CPU)
    resident = Resident(torch.from_numpy(noise_images), order, 16)
    reader = Reader(noise_images, Order(1, len(noise_images), flip, CPU), 16, CPU)
    for first in [*range(0, 160, 16), FLIPS_PER_DRAW - 8, 3]:
        assert torch.equal(resident(first), reader(first))


def test_epochs_of_very_many_samples_cost_no_memory(noise_images):
    order = Order(1, len(noise_images), True, CPU)
    for first in range(0, 5000, 40):
        order.rows(first, 64)
        order.mirrored(first * 1000, 64)
    assert max(len(order.rows._kept), len(order.mirrored._kept)) == 2


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


@pytest.mark.parametrize("flip", [True, False])
def test_pixels_are_channels_last(noise_images, flip):
    pixels = Batches(noise_images, 1, 16, flip, CPU)(0)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert not pixels.is_contiguous()


def flags_of_mapping(path):
    """Linux's flags of a file's mapping, which hold the advice on read-ahead."""
    found = Path("/proc/self/smaps").read_text().split(str(path), 1)[1]
    return found.split("VmFlags:", 1)[1].splitlines()[0].split()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("memory", "large"), [(50 * 3072, True), (200 * 3072, False)])
def test_only_files_too_large_for_memory_are_read_without_their_surroundings(
    noise_images, tmp_path, monkeypatch, memory, large
):
    monkeypatch.setattr("gan.training.batches._host_memory", lambda: memory)
    np.save(tmp_path / "images.npy", noise_images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")[:40]
    pixels = Batches(images, 1, 16, True, CPU)(0)
    assert ("rr" in flags_of_mapping(tmp_path / "images.npy")) == large
    assert torch.equal(pixels, by_definition(noise_images[:40], 0, 16))


@pytest.mark.filterwarnings("error")
def test_a_file_gives_what_memory_gives(noise_images, tmp_path):
    np.save(tmp_path / "images.npy", noise_images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    here, there = (Batches(images, 1, 16, True, CPU) for images in (noise_images, mapped))
    for first in range(0, 160, 16):
        assert torch.equal(here(first), there(first))


def test_the_images_stay_as_they_are(noise_images):
    before = noise_images.copy()
    batches = Batches(noise_images, 1, 50, True, CPU)
    batches(0).zero_()
    assert np.array_equal(noise_images, before)
    assert torch.equal(batches(0), by_definition(before, 0, 50))


def test_images_may_lie_in_memory_in_any_way(noise_images):
    every_second, turned = noise_images[::2], noise_images.transpose(0, 2, 1, 3)
    for images in (every_second, turned):
        pixels = Batches(images, 1, 16, True, CPU)(0)
        assert torch.equal(pixels, by_definition(images, 0, 16))


def test_prefetching_changes_nothing(noise_images):
    with Batches(noise_images, 1, 16, True, CPU) as batches:
        batches.prefetch(16)
        batches.prefetch(0)
        assert torch.equal(batches(16), by_definition(noise_images, 16, 16))
        assert torch.equal(batches(64), by_definition(noise_images, 64, 16))


def test_torchs_own_random_numbers_are_left_alone(noise_images):
    before = torch.random.get_rng_state()
    Batches(noise_images, 1, 16, True, CPU)(0)
    assert torch.equal(torch.random.get_rng_state(), before)
