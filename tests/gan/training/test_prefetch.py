"""Batches that are read ahead: the thread, its two buffers, and a device that is late."""

import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from gan.training.batches import Order, Reader
from gan.training.prefetch import BUFFERS, MAX_PENDING, Prefetcher

ROOT = Path(__file__).resolve().parents[3]
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
    """Reads batches that are full of a number; some can't be read, and all wait for the gate."""

    def __init__(self, broken=()):
        self.broken, self.read, self.threads = set(broken), [], set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, first, batch):
        assert self.gate.wait(10)
        self.read.append(first)
        self.threads.add(threading.current_thread())
        if first in self.broken:
            raise OSError(f"batch {first} can't be read")
        batch[:] = first


@pytest.fixture
def build_prefetcher():
    """build_prefetcher(read): (Prefetcher, LateCopier) of numbers, closed at the end."""
    built = []

    def build(read):
        copier = LateCopier()
        built.append(Prefetcher(read, SHAPE, copier))
        return built[-1], copier

    yield build
    for prefetcher in built:
        prefetcher.close()


def full(number):
    return torch.full(SHAPE, number, dtype=torch.uint8)


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_buffer_is_not_filled_before_its_last_copy_has_finished(build_prefetcher, ahead):
    prefetcher, copier = build_prefetcher(Numbers())
    got = []
    for first in range(10):
        for coming in range(first, first + ahead):
            prefetcher.prefetch(coming)
        got.append(prefetcher(first))
    finished = [copy.done for copy in copier.copies]
    assert finished.count(False) == BUFFERS == len(copier.buffers)
    copier.settle()
    assert all(map(torch.equal, got, map(full, range(10))))


def test_batches_in_any_order_are_the_ones_that_are_asked_for(build_prefetcher):
    prefetcher, copier = build_prefetcher(Numbers())
    random = np.random.default_rng(0)
    asked, got = random.integers(0, 20, 60), []
    for first in asked:
        for coming in random.integers(0, 20, random.integers(0, 4)):
            prefetcher.prefetch(int(coming))
        got.append(prefetcher(int(first)))
    copier.settle()
    assert all(map(torch.equal, got, map(full, map(int, asked))))


def test_prefetching_does_not_wait_and_asking_does(build_prefetcher):
    numbers = Numbers()
    prefetcher, copier = build_prefetcher(numbers)
    numbers.gate.clear()
    prefetcher.prefetch(1)
    prefetcher.prefetch(1)
    assert numbers.read == []
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(prefetcher, 1)
        assert not asking.done()
        numbers.gate.set()
        got = asking.result(10)
    copier.settle()
    assert torch.equal(got, full(1))
    assert numbers.read == [1]


def test_what_was_prefetched_is_not_read_again(build_prefetcher):
    numbers = Numbers()
    prefetcher, _ = build_prefetcher(numbers)
    for first in range(5):
        prefetcher.prefetch(first)
        prefetcher.prefetch(first + 1)
        prefetcher(first)
    assert numbers.read == [0, 1, 2, 3, 4, 5][: len(numbers.read)]


def test_batches_that_nobody_asks_for_do_not_pile_up(build_prefetcher):
    prefetcher, copier = build_prefetcher(Numbers())
    for first in range(20):
        prefetcher.prefetch(first)
    got = prefetcher(50)
    assert len(prefetcher._pending) < MAX_PENDING
    copier.settle()
    assert torch.equal(got, full(50))


def test_reading_is_done_by_one_other_thread(build_prefetcher):
    numbers = Numbers()
    prefetcher, _ = build_prefetcher(numbers)
    for first in range(8):
        prefetcher.prefetch(first + 1)
        prefetcher(first)
    assert len(numbers.threads) == 1
    assert threading.current_thread() not in numbers.threads


def test_what_goes_wrong_is_raised_where_the_batch_is_asked_for_for_the_batch(build_prefetcher):
    numbers = Numbers(broken=[3])
    prefetcher, copier = build_prefetcher(numbers)
    prefetcher.prefetch(3)
    good = [prefetcher(2), prefetcher(4)]
    with pytest.raises(OSError, match="batch 3 can't be read"):
        prefetcher(3)
    with pytest.raises(OSError, match="batch 3 can't be read"):
        prefetcher(3)
    numbers.broken.clear()
    good.append(prefetcher(3))
    copier.settle()
    assert all(map(torch.equal, good, map(full, (2, 4, 3))))


def wait_for_end(threads):
    for thread in threads:
        thread.join(10)
    return not any(thread.is_alive() for thread in threads)


def test_closing_ends_the_thread_and_gives_up_what_was_ahead():
    numbers = Numbers()
    prefetcher = Prefetcher(numbers, SHAPE, LateCopier())
    prefetcher(0)
    numbers.gate.clear()
    prefetcher.prefetch(1)
    prefetcher.prefetch(2)
    threading.Timer(0.05, numbers.gate.set).start()
    prefetcher.close()
    prefetcher.close()
    assert numbers.threads
    assert not any(thread.is_alive() for thread in numbers.threads)
    assert 2 not in numbers.read
    with pytest.raises(RuntimeError):
        prefetcher(3)


def test_a_thread_does_not_outlive_its_owner():
    numbers = Numbers()
    prefetcher = Prefetcher(numbers, SHAPE, LateCopier())
    prefetcher.prefetch(1)
    prefetcher(0)
    assert any(thread.is_alive() for thread in numbers.threads)
    del prefetcher
    gc.collect()
    assert wait_for_end(numbers.threads)


def test_a_file_that_is_read_ahead_gives_the_batches_that_memory_gives(noise_images, tmp_path):
    np.save(tmp_path / "images.npy", noise_images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    cpu, copier = torch.device("cpu"), LateCopier()
    here, there = (
        Reader(images, Order(1, len(images), True, cpu), 16, cpu)
        for images in (noise_images, mapped)
    )
    prefetcher = Prefetcher(there.read, there.shape, copier)
    got = []
    for first in range(0, 320, 16):
        prefetcher.prefetch(first)
        prefetcher.prefetch(first + 16)
        got.append(prefetcher(first))
    prefetcher.close()
    copier.settle()
    assert all(map(torch.equal, got, map(here, range(0, 320, 16))))


@pytest.mark.slow
def test_a_program_ends_though_nobody_closed_what_it_read_ahead():
    code = """
import sys
sys.path.insert(0, "tests/gan/training")
from gan.training.prefetch import Prefetcher
from test_prefetch import SHAPE, LateCopier, Numbers
prefetcher = Prefetcher(Numbers(), SHAPE, LateCopier())
prefetcher.prefetch(1)
prefetcher.prefetch(2)
prefetcher(0)
print("end", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
