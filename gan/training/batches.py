"""Endless batches of real pixels; order and flips are a function of (seed, sample index)."""

import mmap
import os
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gan.pixels import to_pixels
from gan.randomness import permutation, uniform
from gan.tensor_cache import Images
from gan.training.prefetch import CudaLink, Staging

RESIDENT_SHARE = 0.5
"""Images that take at most this share of an accelerator's free memory are kept there."""
MOVED_AT_ONCE = 1 << 26  # bytes
CACHED_SHARE = 0.5
"""A file that takes at most this share of the host's memory is soon held there by the system."""
FLIPS_AT_ONCE = 1 << 14
"""Flips drawn in one go: a draw takes as long for one sample as for a thousand."""

CPU = torch.device("cpu")


class Batches:
    """Batches over `images` (n, H, W, 3) uint8, which may be memory-mapped.

    Sample `i` is image `order(epoch i // n)[i % n]`; n is at least 1, and an epoch's end may fall
    inside a batch. Order and flips are drawn from `seed`. Images stay on an accelerator if they
    fit; else CUDA gets them from a thread, which ends with `close`.
    """

    def __init__(
        self, images: Images, seed: int, batch_size: int, flip: bool, device: torch.device
    ) -> None:
        self.seed, self.batch_size, self.flip, self.device = seed, batch_size, flip, device
        images = np.ascontiguousarray(images)  # no copy of a memory map
        self._source: Resident | Reader | Staging
        if _fits(images.nbytes, device):
            order = Order(seed, len(images), flip, device)
            self._source = Resident(_moved(images, device), order, batch_size)
            return
        if images.nbytes > _host_memory() * CACHED_SHARE:
            _read_here_and_there(images)
        reader = Reader(images, Order(seed, len(images), flip, CPU), batch_size, device)
        self._source = reader
        if device.type == "cuda":
            self._source = Staging(reader.read, reader.shape, CudaLink(device))

    def __call__(self, first: int) -> Tensor:
        """Pixels (batch_size, 3, H, W) float32 of samples first, first + 1, ..., on the device.

        In memory they are channels_last.
        """
        return to_pixels(self._source(first).permute(0, 3, 1, 2))

    def prefetch(self, first: int) -> None:
        """Begin to bring the batch of samples first, ...; does nothing where it would not help."""
        if isinstance(self._source, Staging):
            self._source.prefetch(first)

    def close(self) -> None:
        """End the thread that reads, if there is one."""
        if isinstance(self._source, Staging):
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Order:
    """Which image each sample is, and whether it is mirrored: tensors on `device`.

    Only a new epoch, or some thousand samples on, brings work for the host.
    """

    def __init__(self, seed: int, count: int, flip: bool, device: torch.device) -> None:
        self._seed, self._count, self._device, self.flip = seed, count, device, flip
        self.rows = _Blocks(count, self._epoch)
        """rows(first, size): (size,) int64, of the images."""
        self.mirrored = _Blocks(FLIPS_AT_ONCE, self._flips)
        """mirrored(first, size): (size,) bool."""

    def _epoch(self, epoch: int) -> Tensor:
        order = torch.from_numpy(permutation(self._seed, "order", epoch, self._count))
        if self._device.type == "cuda":
            order = order.pin_memory()  # else the host would wait for the copy
        return order.to(self._device, non_blocking=True)

    def _flips(self, block: int) -> Tensor:
        first = block * FLIPS_AT_ONCE
        samples = torch.arange(first, first + FLIPS_AT_ONCE, device=self._device)
        return uniform(self._seed, "flip", samples)[:, 0] < 0.5


class _Blocks:
    """An endless sequence, made `length` items at a time; the last two blocks are kept."""

    def __init__(self, length: int, make: Callable[[int], Tensor]) -> None:
        self._length, self._make = length, make
        self._kept: dict[int, Tensor] = {}

    def __call__(self, first: int, size: int) -> Tensor:
        parts, end = [], first + size
        while first < end:
            block, place = divmod(first, self._length)
            parts.append(self._block(block)[place : place + end - first])
            first += len(parts[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _block(self, number: int) -> Tensor:
        if number not in self._kept:
            for old in list(self._kept)[:-1]:
                del self._kept[old]
            self._kept[number] = self._make(number)
        return self._kept[number]


class Resident:
    """Images (n, H, W, 3) that stay on an accelerator: a batch is gathered there."""

    def __init__(self, images: Tensor, order: Order, batch_size: int) -> None:
        self._images, self._order, self._batch_size = images, order, batch_size

    def __call__(self, first: int) -> Tensor:
        batch = self._images.index_select(0, self._order.rows(first, self._batch_size))
        if not self._order.flip:
            return batch
        mirrored = self._order.mirrored(first, self._batch_size).view(-1, 1, 1, 1)
        return torch.where(mirrored, batch.flip(2), batch)


class Reader:
    """Images (n, H, W, 3) in the host's memory or in a file: a batch is read when it is wanted."""

    def __init__(
        self, images: Images, order: Order, batch_size: int, device: torch.device
    ) -> None:
        self._images, self._order, self._device = images, order, device
        self.shape: tuple[int, ...] = (batch_size, *images.shape[1:])

    def __call__(self, first: int) -> Tensor:
        batch = np.empty(self.shape, np.uint8)
        self.read(first, batch)
        return torch.from_numpy(batch).to(self._device)

    def read(self, first: int, batch: Images) -> None:
        """Fill `batch` with the images of samples first, ..."""
        rows = self._order.rows(first, len(batch)).numpy()
        # rows are never outside; checking them would read into a buffer and copy that
        np.take(self._images, rows, axis=0, out=batch, mode="clip")
        if self._order.flip:
            chosen = np.flatnonzero(self._order.mirrored(first, len(batch)).numpy())
            # torch has a kernel for mirroring three bytes a pixel, numpy has none
            batch[chosen] = torch.from_numpy(batch[chosen]).flip(2).numpy()


def _fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes are few enough to stay on the device, which a CPU's need not."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        return False
    return size <= free * RESIDENT_SHARE


def _moved(images: Images, device: torch.device) -> Tensor:
    """A copy on the device, made in parts so that the host holds no second one."""
    moved = torch.empty(images.shape, dtype=torch.uint8, device=device)
    rows = max(1, MOVED_AT_ONCE // images[0].nbytes)
    for start in range(0, len(images), rows):
        part: np.ndarray[Any, Any] = np.array(images[start : start + rows])
        moved[start : start + rows].copy_(torch.from_numpy(part))
    return moved


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read_here_and_there(images: Images) -> None:
    """Let the system read what is wanted of a memory map, and not megabytes around each image.

    Of a file that memory holds in the end these are a gain; of a larger one they are thrown away.
    """
    owner: Any = images
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        owner.madvise(mmap.MADV_RANDOM)
