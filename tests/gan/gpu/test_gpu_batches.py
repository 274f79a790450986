"""Batches on an accelerator: the same pixels wherever the images are, and nobody waits."""

from contextlib import closing

import numpy as np
import pytest
import torch

from gan.pixels import to_images
from gan.training.batches import Batches

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")


@pytest.fixture
def open_batches(noise_images, tmp_path, device):
    """open_batches(16): of the noise images in a file, on the device."""
    np.save(tmp_path / "images.npy", noise_images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    return lambda flip=True, where=device: closing(Batches(images, 1, 16, flip, where))


def read(batches, count):
    """Batches one after the other, each begun while the one before is used."""
    return [batches(first * batches.batch_size) for first in range(count)]


@pytest.mark.parametrize("flip", [True, False])
def test_a_device_gives_the_pixels_that_a_cpu_gives(device, image_location, open_batches, flip):
    with open_batches(flip, CPU) as here, open_batches(flip) as there:
        for expected, pixels in zip(read(here, 12), read(there, 12), strict=True):
            assert pixels.device.type == device.type
            assert pixels.dtype == torch.float32
            assert pixels.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(to_images(pixels).cpu(), to_images(expected))
            # dividing may be multiplying by the reciprocal: one unit in the last place
            torch.testing.assert_close(pixels.cpu(), expected, rtol=0, atol=2e-7)


def test_batches_are_whole_though_the_device_is_far_behind(device, image_location, settle):
    """Copies into memory that is still used, or out of buffers filled anew, would be seen."""
    images = np.arange(200, dtype=np.uint8).repeat(64 * 64 * 3).reshape(200, 64, 64, 3)
    side = 4096 if device.type == "cuda" else 64
    busy = torch.rand(side, side, device=device)
    levels = []
    with closing(Batches(images, 1, 32, True, device)) as batches:
        for first in range(0, 60 * 32, 32):
            pixels = batches(first)
            for _ in range(5):
                busy = (busy @ busy).clamp(0, 1)
            slow = pixels + 0 * busy[0, 0]
            levels.append(torch.stack([slow.amax((1, 2, 3)), slow.amin((1, 2, 3))]))
            del pixels, slow
        settle()
    plain = Batches(images, 1, 32, True, CPU)
    for found, first in zip(levels, range(0, 60 * 32, 32), strict=True):
        expected = plain(first)[:, 0, 0, 0].expand(2, -1)
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=2e-7)


def test_reading_does_not_wait_for_the_device_nor_takes_more_and_more_memory(
    device, image_location, open_batches, waiting_is_an_error, settle
):
    with open_batches() as batches:
        before = read(batches, 50)
        settle()
        reserved = torch.cuda.memory_reserved(device)
        waiting_is_an_error()
        after = [*read(batches, 50), batches(1 << 20)]  # new epochs and new flips
        torch.cuda.set_sync_debug_mode("default")
        assert all(map(torch.equal, before, after))
        del before, after
        for _ in range(5):
            read(batches, 50)
        settle()
        assert torch.cuda.memory_reserved(device) <= 3 * reserved
