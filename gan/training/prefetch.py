"""Prefetching: a thread reads batches ahead and copies them to the device asynchronously.

There are two host buffers, so that one is filled while the other is copied.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BUFFERS = 2
MAX_PENDING = 2
"""Batches that are prefetched at most; more would fill the device's memory."""

Read = Callable[[int, NDArray[np.uint8]], None]
"""Fills an array with the images of a batch, given its first sample."""


class AsyncCopy(Protocol):
    """A host-to-device copy that may still be in progress."""

    def wait(self) -> None:
        """Block until the copy is complete."""
        ...

    def tensor(self) -> Tensor:
        """The copy on the device; work on it waits on the device, not on the host."""
        ...


class Copier(Protocol):
    """Asynchronous copies from the host to one device."""

    def allocate(self, shape: tuple[int, ...]) -> Tensor:
        """Allocate a host buffer (uint8) that the device can read asynchronously."""
        ...

    def copy(self, buffer: Tensor) -> AsyncCopy:
        """Begin a copy; the buffer must not change until it is complete."""
        ...


class Prefetcher:
    """Batches of uint8 images on a device, which `read` reads in one thread.

    The thread ends with `close`, or when this object is no longer used. An error in the thread is
    raised by the call that asks for its batch.
    """

    def __init__(self, read: Read, shape: tuple[int, ...], copier: Copier) -> None:
        self._read, self._copier = read, copier
        self._buffers = [copier.allocate(shape) for _ in range(BUFFERS)]
        self._copies: list[AsyncCopy | None] = [None] * BUFFERS
        self._next_buffer = 0
        self._pending: dict[int, Future[AsyncCopy]] = {}
        self._thread = ThreadPoolExecutor(1, "batches")

    def prefetch(self, first: int) -> None:
        """Begin to bring the batch of samples `first`, ... to the device; returns at once."""
        if first in self._pending:
            return
        if len(self._pending) == MAX_PENDING:
            self._pending.pop(next(iter(self._pending))).cancel()
        self._pending[first] = self._thread.submit(self._read_and_copy, first)

    def __call__(self, first: int) -> Tensor:
        """The batch of samples `first`, ... on the device; waits only until it has been read."""
        self.prefetch(first)
        return self._pending.pop(first).result().tensor()

    def close(self) -> None:
        """End the thread; batches that nobody asked for are dropped."""
        self._pending.clear()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _read_and_copy(self, first: int) -> AsyncCopy:
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


class CudaCopy:
    """An asynchronous copy to a CUDA device on a separate stream."""

    def __init__(self, images: Tensor, done: torch.cuda.Event) -> None:
        self._images, self._done = images, done

    def wait(self) -> None:
        self._done.synchronize()

    def tensor(self) -> Tensor:
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
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def copy(self, buffer: Tensor) -> CudaCopy:
        with torch.cuda.stream(self._stream):
            images = buffer.to(self._device, non_blocking=True)
            # blocking: a thread that waits for it does not spin
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record()
        return CudaCopy(images, done)
