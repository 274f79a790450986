"""Batches of real pixels: each image once an epoch, each sample the same however it is read."""

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from gan.pixels import to_pixels
from gan.randomness import permutation, uniform
from gan.training.batches import FLIPS_PER_DRAW, Batches, Order, Reader, Resident

CPU = torch.device("cpu")


def by_definition(images, first, size, *, seed=1, flip=True):
    """Pixels of samples first, ..., one after the other, as the words of Batches say."""
    pixels = []
    for sample in range(first, first + size):
        epoch, place = divmod(sample, len(images))
        image = images[permutation(seed, "order", epoch, len(images))[place]]
        if flip and uniform(seed, "flip", torch.tensor([sample])).item() < 0.5:
            image = image[:, ::-1].copy()
        pixels.append(to_pixels(torch.from_numpy(image)).permute(2, 0, 1))
    return torch.stack(pixels)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("count", [1, 7, 50])
@pytest.mark.parametrize("first", [0, 49, FLIPS_PER_DRAW - 5, 10**12])
def test_batches_are_what_they_are_by_definition(noise_images, count, first, flip):
    random = torch.random.get_rng_state()
    images = noise_images[:count]
    with closing(Batches(images, 1, 9, flip, CPU)) as batches:
        pixels = batches(first)
    assert torch.equal(pixels, by_definition(images, first, 9, flip=flip))
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
