"""Brings batches to the device ahead of time: read by a thread, copied while others are used.

Two buffers take turns, so that one is filled while the other is copied.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BUFFERS = 2
AHEAD = 2
"""Batches that are kept for whoever asks; more would fill the device's memory."""

Read = Callable[[int, NDArray[np.uint8]], None]
"""Fills an array with the images of a batch, given its first sample."""


class Transfer(Protocol):
    """A copy to the device that may still be under way."""

    def finish(self) -> None:
        """Wait until the copy is done."""
        ...

    def take(self) -> Tensor:
        """The copy on the device: work on it that is begun from now on waits there, not here."""
        ...


class Link(Protocol):
    """The way to a device."""

    def buffer(self, shape: tuple[int, ...]) -> Tensor:
        """Host memory (uint8) that the device can read while the host does something else."""
        ...

    def send(self, buffer: Tensor) -> Transfer:
        """Begin to copy; the buffer must stay as it is until the transfer has finished."""
        ...


class Staging:
    """Batches of uint8 images on a device, read by `read` in one thread.

    The thread ends with `close`, or when this object is no longer used. What goes wrong in it is
    raised by the call that asks for the batch.
    """

    def __init__(self, read: Read, shape: tuple[int, ...], link: Link) -> None:
        self._read, self._link = read, link
        self._buffers = [link.buffer(shape) for _ in range(BUFFERS)]
        self._sent: list[Transfer | None] = [None] * BUFFERS
        self._turn = 0
        self._coming: dict[int, Future[Transfer]] = {}
        self._thread = ThreadPoolExecutor(1, "batches")

    def prefetch(self, first: int) -> None:
        """Begin to bring the batch of samples `first`, ...; returns at once."""
        if first in self._coming:
            return
        if len(self._coming) == AHEAD:
            self._coming.pop(next(iter(self._coming))).cancel()
        self._coming[first] = self._thread.submit(self._bring, first)

    def __call__(self, first: int) -> Tensor:
        """The batch of samples `first`, ... on the device; waits only until it has been read."""
        self.prefetch(first)
        return self._coming.pop(first).result().take()

    def close(self) -> None:
        """End the thread; batches that nobody asked for are given up."""
        self._coming.clear()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _bring(self, first: int) -> Transfer:
        """In the thread: fill the buffer whose turn it is, and begin to copy it."""
        turn = self._turn
        self._turn = (turn + 1) % BUFFERS
        if (last := self._sent[turn]) is not None:
            self._sent[turn] = None
            last.finish()
        buffer = self._buffers[turn]
        self._read(first, buffer.numpy())
        sent = self._sent[turn] = self._link.send(buffer)
        return sent


class CudaTransfer:
    """A copy on a stream of its own."""

    def __init__(self, images: Tensor, done: torch.cuda.Event) -> None:
        self._images, self._done = images, done

    def finish(self) -> None:
        self._done.synchronize()

    def take(self) -> Tensor:
        stream = torch.cuda.current_stream(self._images.device)
        stream.wait_event(self._done)
        # the memory belongs to the other stream, which must not reuse it before this one is done
        self._images.record_stream(stream)
        return self._images


class CudaLink:
    """Pinned buffers, and a stream beside the one that computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def buffer(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def send(self, buffer: Tensor) -> CudaTransfer:
        with torch.cuda.stream(self._stream):
            images = buffer.to(self._device, non_blocking=True)
            # blocking: a thread that waits for it does not spin
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record()
        return CudaTransfer(images, done)
