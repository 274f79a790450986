"""Batches on an accelerator: the same pixels wherever the images are, and nobody waits."""

import gc
import threading
import time

import numpy as np
import pytest
import torch

from gan.pixels import to_images
from gan.training.batches import Batches, Resident
from gan.training.prefetch import Prefetcher

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")


@pytest.fixture
def map_images(noise_images, tmp_path):
    """The noise images as a file."""
    np.save(tmp_path / "images.npy", noise_images)
    return np.load(tmp_path / "images.npy", mmap_mode="r")


def read(batches, count):
    """Batches one after the other, each begun while the one before is used."""
    found = []
    for first in range(0, count * batches.batch_size, batches.batch_size):
        found.append(batches(first))
        batches.prefetch(first + batches.batch_size)
    return found


def test_images_are_kept_where_the_test_wants_them(device, image_location, map_images):
    with Batches(map_images, 1, 16, True, device) as batches:
        kinds = {"resident": Resident, "read ahead": Prefetcher}
        assert device.type != "cuda" or isinstance(batches._source, kinds[image_location])


@pytest.mark.parametrize("flip", [True, False])
def test_a_device_gives_the_pixels_that_a_cpu_gives(device, image_location, map_images, flip):
    here = Batches(map_images, 1, 16, flip, CPU)
    with Batches(map_images, 1, 16, flip, device) as there:
        for expected, pixels in zip(read(here, 12), read(there, 12), strict=True):
            assert pixels.device.type == device.type
            assert pixels.dtype == torch.float32
            assert pixels.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(to_images(pixels).cpu(), to_images(expected))
            # dividing may be multiplying by the reciprocal: one unit in the last place
            torch.testing.assert_close(pixels.cpu(), expected, rtol=0, atol=2e-7)


def test_images_in_a_file_give_bit_for_bit_what_images_on_the_device_give(
    device, map_images, monkeypatch
):
    resident = Batches(map_images, 1, 16, True, device)
    monkeypatch.setattr("gan.training.batches.RESIDENT_SHARE", 0)
    with Batches(map_images, 1, 16, True, device) as ahead:
        assert all(map(torch.equal, read(resident, 20), read(ahead, 20)))


def test_batches_are_whole_though_the_device_is_far_behind(device, image_location, settle):
    """Copies into memory that is still used, or out of buffers filled anew, would be seen."""
    images = np.arange(200, dtype=np.uint8).repeat(64 * 64 * 3).reshape(200, 64, 64, 3)
    side = 4096 if device.type == "cuda" else 64
    busy = torch.rand(side, side, device=device)
    levels = []
    with Batches(images, 1, 32, True, device) as batches:
        for first in range(0, 60 * 32, 32):
            pixels = batches(first)
            batches.prefetch(first + 32)
            for _ in range(5):
                busy = (busy @ busy).clamp(0, 1)
            levels.append((pixels + 0 * busy[0, 0]).amax((1, 2, 3)))
            levels.append((pixels + 0 * busy[0, 0]).amin((1, 2, 3)))
            del pixels
        settle()
    plain = Batches(images, 1, 32, True, CPU)
    expected = [plain(first)[:, 0, 0, 0] for first in range(0, 60 * 32, 32)]
    found = [each.cpu() for each in levels]
    for most, least, one in zip(found[::2], found[1::2], expected, strict=True):
        torch.testing.assert_close(most, one, rtol=0, atol=2e-7)
        torch.testing.assert_close(least, one, rtol=0, atol=2e-7)


def test_reading_does_not_wait_for_the_device(
    device, image_location, map_images, waiting_is_an_error
):
    with Batches(map_images, 1, 16, True, device) as batches:
        before = read(batches, 3)
        waiting_is_an_error()
        after = [*read(batches, 40), batches(1 << 20)]  # new epochs and new flips
        torch.cuda.set_sync_debug_mode("default")
        assert all(map(torch.equal, before, after))


def test_memory_does_not_grow_with_batches(device, image_location, map_images, settle):
    if device.type != "cuda":
        pytest.skip("only CUDA counts what is allocated")

    def device_memory():
        settle()
        return torch.cuda.memory_reserved(device)

    with Batches(map_images, 1, 16, True, device) as batches:
        read(batches, 50)
        before = device_memory()
        for _ in range(5):
            read(batches, 50)
        assert device_memory() == before


def test_the_thread_ends_with_its_batches(device, map_images, monkeypatch):
    monkeypatch.setattr("gan.training.batches.RESIDENT_SHARE", 0)
    before = threading.active_count()
    batches = Batches(map_images, 1, 16, True, device)
    read(batches, 3)
    assert device.type != "cuda" or threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before
    batches = Batches(map_images, 1, 16, True, device)
    read(batches, 3)
    del batches
    gc.collect()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
