"""Prefetching: a thread reads batches ahead and copies them to the device asynchronously.

There are two host buffers, so that one is filled while the other is copied.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BUFFERS = 2

Read = Callable[[int, NDArray[np.uint8]], None]
"""Fills an array with the images of a batch, given its first sample."""


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
