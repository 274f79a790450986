"""Batches that are read ahead: the thread, its two buffers, and a device that is late."""

import gc
import threading

import numpy as np
import pytest
import torch

from gan.training.batches import BUFFERS, Prefetcher

SHAPE = (4, 2, 2, 3)


class LateCopy:
    """A copy that happens only when somebody waits for it, as late as a device may be."""

    def __init__(self, buffer):
        self.buffer, self.images, self.done = buffer, torch.zeros_like(buffer), False

    def wait(self):
        if not self.done:
            self.images.copy_(self.buffer)
            self.done = True

    def tensor(self):
        return self.images


class LateCopier:
    """A device on the CPU; `settle` completes every copy that was begun."""

    def __init__(self):
        self.buffers, self.copies = [], []

    def allocate(self, shape):
        self.buffers.append(torch.zeros(shape, dtype=torch.uint8))
        return self.buffers[-1]

    def copy(self, buffer):
        self.copies.append(LateCopy(buffer))
        return self.copies[-1]

    def settle(self):
        for copy in self.copies:
            copy.wait()


class Numbers:
    """Reads batches that are full of a number; some can't be read."""

    def __init__(self):
        self.broken, self.read, self.threads = set(), [], set()

    def __call__(self, first, batch):
        self.read.append(first)
        self.threads.add(threading.current_thread())
        if first in self.broken:
            raise OSError(f"batch {first} can't be read")
        batch[:] = first


@pytest.fixture
def numbers():
    return Numbers()


@pytest.fixture
def copier():
    return LateCopier()


@pytest.fixture
def prefetcher(numbers, copier):
    """A prefetcher of the numbers, two ahead of each, closed at the end."""
    made = Prefetcher(numbers, SHAPE, copier, stride=2)
    yield made
    made.close()


def assert_full(got, numbers):
    assert [batch.unique().tolist() for batch in got] == [[number] for number in numbers]


def test_one_thread_fills_no_buffer_before_its_last_copy_has_finished(prefetcher, numbers, copier):
    got = [prefetcher(first) for first in range(0, 20, 2)]
    for _ in range(2):
        prefetcher.close()
    with pytest.raises(RuntimeError):
        prefetcher(3)
    assert numbers.read[:10] == list(range(0, 20, 2))  # each once
    assert [copy.done for copy in copier.copies].count(False) == BUFFERS == len(copier.buffers)
    (thread,) = numbers.threads
    assert thread != threading.current_thread()
    assert not thread.is_alive()
    copier.settle()
    assert_full(got, range(0, 20, 2))


def test_batches_in_any_order_are_the_ones_that_are_asked_for(prefetcher, copier):
    asked = np.random.default_rng(0).integers(0, 9, 90).tolist()
    got = [prefetcher(first) for first in asked]
    copier.settle()
    assert_full(got, asked)


def test_an_error_is_raised_where_its_batch_is_asked_for(prefetcher, numbers, copier):
    numbers.broken.add(3)
    good = [prefetcher(1)]  # and 3 is begun
    for _ in range(2):
        with pytest.raises(OSError, match="batch 3 can't be read"):
            prefetcher(3)
    numbers.broken.clear()
    good.append(prefetcher(3))
    copier.settle()
    assert_full(good, [1, 3])


def test_a_thread_does_not_outlive_its_owner(numbers):
    prefetcher = Prefetcher(numbers, SHAPE, LateCopier(), stride=2)
    prefetcher(0)
    (thread,) = numbers.threads
    assert thread.is_alive()
    del prefetcher
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
