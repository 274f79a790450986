"""Batches of real pixels, without end; order and flips are a function of (seed, sample index)."""

import mmap
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan.pixels import to_pixels
from gan.randomness import permutation, uniform
from gan.tensor_cache import Images

RESIDENT_SHARE = 0.5
"""Largest share of an accelerator's free memory for images that stay resident there."""
BYTES_PER_COPY = 1 << 26  # bytes
CACHED_SHARE = 0.5
"""Largest share of the host's memory that a file may have to be read ahead by the system."""
FLIPS_PER_DRAW = 1 << 14
"""A draw of flips takes as long for one sample as for a thousand."""

BUFFERS = 2
"""Host buffers of a prefetcher, so that one is filled while the other is copied."""

Read = Callable[[int, Images], None]
"""Fills an array with the images of a batch, given its first sample."""
CPU = torch.device("cpu")


class Batches:
    """Batches over `images` (n, H, W, 3) uint8, which may be memory-mapped.

    Sample `i` is image `order(epoch i // n)[i % n]`; n is at least 1, and an epoch may end inside
    a batch. Order and flips are drawn from `seed`. Images that fit stay resident on an
    accelerator; otherwise a thread prefetches them for CUDA, until `close`, a batch of each of
    `processes` ahead.
    """

    def __init__(
        self,
        images: Images,
        seed: int,
        batch_size: int,
        flip: bool,
        device: torch.device,
        processes: int = 1,
    ) -> None:
        self.seed, self.batch_size, self.flip, self.device = seed, batch_size, flip, device
        images = np.ascontiguousarray(images)  # no copy of a memory map
        self._source: Callable[[int], Tensor]
        self._prefetcher: Prefetcher | None = None
        if _fits(images.nbytes, device):
            order = Order(seed, len(images), flip, device)
            self._source = Resident(_copy_to_device(images, device), order, batch_size)
            return
        if images.nbytes > _host_memory() * CACHED_SHARE:
            _advise_random_access(images)
        reader = Reader(images, Order(seed, len(images), flip, CPU), batch_size, device)
        self._source = reader
        if device.type == "cuda":
            stride = batch_size * processes
            self._prefetcher = Prefetcher(reader.read, reader.shape, CudaCopier(device), stride)
            self._source = self._prefetcher

    def __call__(self, first: int) -> Tensor:
        """Pixels (batch_size, 3, H, W) float32 of samples first, first + 1, ..., on the device.

        In memory they are channels_last.
        """
        return to_pixels(self._source(first).permute(0, 3, 1, 2))

    def close(self) -> None:
        """End the prefetcher's thread, if there is one."""
        if self._prefetcher is not None:
            self._prefetcher.close()


class Order:
    """Image index and horizontal flip of each sample, as tensors on `device`.

    They are made in blocks, orders of an epoch and flips of FLIPS_PER_DRAW samples, of which the
    last two are kept.
    """

    def __init__(self, seed: int, count: int, flip: bool, device: torch.device) -> None:
        self._seed, self._count, self._device, self.flip = seed, count, device, flip
        self._epoch_order = lru_cache(maxsize=2)(self._draw_order)
        self._block_of_flips = lru_cache(maxsize=2)(self._draw_flips)

    def rows(self, first: int, size: int) -> Tensor:
        """Indices of images, (size,) int64."""
        return _take(self._epoch_order, self._count, first, size)

    def flips(self, first: int, size: int) -> Tensor:
        """Whether the images are flipped, (size,) bool."""
        return _take(self._block_of_flips, FLIPS_PER_DRAW, first, size)

    def _draw_order(self, epoch: int) -> Tensor:
        order = torch.from_numpy(permutation(self._seed, "order", epoch, self._count))
        if self._device.type == "cuda":
            order = order.pin_memory()  # else the host would wait for the copy
        return order.to(self._device, non_blocking=True)

    def _draw_flips(self, block: int) -> Tensor:
        first = block * FLIPS_PER_DRAW
        samples = torch.arange(first, first + FLIPS_PER_DRAW, device=self._device)
        return uniform(self._seed, "flip", samples)[:, 0] < 0.5


def _take(block_of: Callable[[int], Tensor], length: int, first: int, size: int) -> Tensor:
    """Items first, ... of an infinite sequence that is made in blocks of `length` items."""
    parts, end = [], first + size
    while first < end:
        block, place = divmod(first, length)
        parts.append(block_of(block)[place : place + end - first])
        first += len(parts[-1])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class Resident:
    """Images (n, H, W, 3) that are resident on an accelerator, where batches are gathered."""

    def __init__(self, images: Tensor, order: Order, batch_size: int) -> None:
        self._images, self._order, self._batch_size = images, order, batch_size

    def __call__(self, first: int) -> Tensor:
        batch = self._images.index_select(0, self._order.rows(first, self._batch_size))
        if not self._order.flip:
            return batch
        mirrored = self._order.flips(first, self._batch_size).view(-1, 1, 1, 1)
        return torch.where(mirrored, batch.flip(2), batch)


class Reader:
    """Images (n, H, W, 3) in the host's memory or a memory map; a batch is read on demand."""

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
        # indices are in range; mode "raise" would read into a buffer and copy it
        np.take(self._images, rows, axis=0, out=batch, mode="clip")
        if self._order.flip:
            mirrored = np.flatnonzero(self._order.flips(first, len(batch)).numpy())
            # torch has a fast kernel for flipping pixels of three bytes, numpy has none
            batch[mirrored] = torch.from_numpy(batch[mirrored]).flip(2).numpy()


def _fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes can stay resident on an accelerator; False for a CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        return False
    return size <= free * RESIDENT_SHARE


def _copy_to_device(images: Images, device: torch.device) -> Tensor:
    """Copy to the device in parts, so that the host needs no second copy."""
    copied = torch.empty(images.shape, dtype=torch.uint8, device=device)
    rows = max(1, BYTES_PER_COPY // images[0].nbytes)
    for start in range(0, len(images), rows):
        part: np.ndarray[Any, Any] = np.array(images[start : start + rows])
        copied[start : start + rows].copy_(torch.from_numpy(part))
    return copied


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _advise_random_access(images: Images) -> None:
    """Tell the system not to read ahead in a memory map that is larger than its cache.

    Reading megabytes around each image helps only if they stay cached until they are needed.
    """
    owner: Any = images
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        owner.madvise(mmap.MADV_RANDOM)


class CudaCopy:
    """An asynchronous copy to a CUDA device on a separate stream."""

    def __init__(self, images: Tensor, done: torch.cuda.Event) -> None:
        self._images, self._done = images, done

    def wait(self) -> None:
        """Block until the copy is complete."""
        self._done.synchronize()

    def tensor(self) -> Tensor:
        """The copy on the device; work on it waits on the device, not on the host."""
        stream = torch.cuda.current_stream(self._images.device)
        stream.wait_event(self._done)
        # the allocator must not reuse the memory for the copying stream before this one is done
        self._images.record_stream(stream)
        return self._images


class CudaCopier:
    """Pinned buffers, and a stream beside the one that computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def allocate(self, shape: tuple[int, ...]) -> Tensor:
        """Allocate a host buffer (uint8) that the device can read asynchronously."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def copy(self, buffer: Tensor) -> CudaCopy:
        """Begin a copy; the buffer must not change until it is complete."""
        with torch.cuda.stream(self._stream):
            images = buffer.to(self._device, non_blocking=True)
            # blocking: a thread that waits for it does not spin
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record()
        return CudaCopy(images, done)


class Prefetcher:
    """Batches of uint8 images on a device, which `read` reads in one thread.

    With each batch the one `stride` samples later is begun. The thread ends with `close`, or when
    this object is no longer used. An error in the thread is raised by the call for its batch.
    """

    def __init__(
        self, read: Read, shape: tuple[int, ...], copier: CudaCopier, stride: int
    ) -> None:
        self._read, self._copier, self._stride = read, copier, stride
        self._buffers = [copier.allocate(shape) for _ in range(BUFFERS)]
        self._copies: list[CudaCopy | None] = [None] * BUFFERS
        self._next_buffer = 0
        self._ahead: dict[int, Future[CudaCopy]] = {}
        self._thread = ThreadPoolExecutor(1, "batches")

    def __call__(self, first: int) -> Tensor:
        """The batch of samples `first`, ... on the device; waits only until it has been read."""
        batch = self._ahead.pop(first, None) or self._begin(first)
        for unwanted in self._ahead.values():
            unwanted.cancel()
        coming = first + self._stride
        self._ahead = {coming: self._begin(coming)}
        return batch.result().tensor()

    def _begin(self, first: int) -> Future[CudaCopy]:
        return self._thread.submit(self._read_and_copy, first)

    def close(self) -> None:
        """End the thread; a batch that nobody asked for is dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _read_and_copy(self, first: int) -> CudaCopy:
        """In the thread: fill the next buffer and begin to copy it."""
        index = self._next_buffer
        self._next_buffer = (index + 1) % BUFFERS
        if (previous := self._copies[index]) is not None:
            self._copies[index] = None
            previous.wait()
        buffer = self._buffers[index]
        self._read(first, buffer.numpy())
        copy = self._copies[index] = self._copier.copy(buffer)
        return copy
