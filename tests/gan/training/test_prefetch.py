"""Batches that are read ahead: the thread, its two buffers, and a device that is late."""

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gan.training.batches import Order, Reader
from gan.training.prefetch import AHEAD, BUFFERS, Staging

ROOT = Path(__file__).resolve().parents[3]
SHAPE = (4, 2, 2, 3)


class LateTransfer:
    """A copy that happens only when somebody waits for it, as late as a device may be."""

    def __init__(self, buffer):
        self.buffer, self.images, self.done = buffer, torch.zeros_like(buffer), False

    def finish(self):
        if not self.done:
            self.images.copy_(self.buffer)
            self.done = True

    def take(self):
        return self.images


class LateLink:
    """A device on the CPU; `settle` lets everything that was sent arrive."""

    def __init__(self):
        self.buffers, self.sent = [], []

    def buffer(self, shape):
        self.buffers.append(torch.zeros(shape, dtype=torch.uint8))
        return self.buffers[-1]

    def send(self, buffer):
        self.sent.append(LateTransfer(buffer))
        return self.sent[-1]

    def settle(self):
        for transfer in self.sent:
            transfer.finish()


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
def staged():
    """staged(read): (Staging, LateLink) of numbers, closed at the end."""
    opened = []

    def build(read):
        link = LateLink()
        opened.append(Staging(read, SHAPE, link))
        return opened[-1], link

    yield build
    for staging in opened:
        staging.close()


def full(number):
    return torch.full(SHAPE, number, dtype=torch.uint8)


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_buffer_is_not_filled_before_its_last_copy_has_finished(staged, ahead):
    staging, link = staged(Numbers())
    got = []
    for first in range(10):
        for coming in range(first, first + ahead):
            staging.prefetch(coming)
        got.append(staging(first))
    finished = [transfer.done for transfer in link.sent]
    assert finished.count(False) == BUFFERS == len(link.buffers)
    link.settle()
    assert all(map(torch.equal, got, map(full, range(10))))


def test_batches_in_any_order_are_the_ones_that_are_asked_for(staged):
    staging, link = staged(Numbers())
    random = np.random.default_rng(0)
    asked, got = random.integers(0, 20, 60), []
    for first in asked:
        for coming in random.integers(0, 20, random.integers(0, 4)):
            staging.prefetch(int(coming))
        got.append(staging(int(first)))
    link.settle()
    assert all(map(torch.equal, got, map(full, map(int, asked))))


def test_prefetching_does_not_wait_and_asking_does(staged):
    numbers = Numbers()
    staging, link = staged(numbers)
    numbers.gate.clear()
    staging.prefetch(1)
    staging.prefetch(1)
    assert numbers.read == []
    threading.Timer(0.05, numbers.gate.set).start()
    got = staging(1)
    link.settle()
    assert torch.equal(got, full(1))
    assert numbers.read == [1]


def test_what_was_prefetched_is_not_read_again(staged):
    numbers = Numbers()
    staging, _ = staged(numbers)
    for first in range(5):
        staging.prefetch(first)
        staging.prefetch(first + 1)
        staging(first)
    assert numbers.read == [0, 1, 2, 3, 4, 5][: len(numbers.read)]


def test_batches_that_nobody_asks_for_do_not_pile_up(staged):
    staging, link = staged(Numbers())
    for first in range(20):
        staging.prefetch(first)
    got = staging(50)
    assert len(staging._coming) < AHEAD
    link.settle()
    assert torch.equal(got, full(50))


def test_reading_is_done_by_one_other_thread(staged):
    numbers = Numbers()
    staging, _ = staged(numbers)
    for first in range(8):
        staging.prefetch(first + 1)
        staging(first)
    assert len(numbers.threads) == 1
    assert threading.current_thread() not in numbers.threads


def test_what_goes_wrong_is_told_to_whoever_asks_for_the_batch(staged):
    numbers = Numbers(broken=[3])
    staging, link = staged(numbers)
    staging.prefetch(3)
    good = [staging(2), staging(4)]
    with pytest.raises(OSError, match="batch 3 can't be read"):
        staging(3)
    with pytest.raises(OSError, match="batch 3 can't be read"):
        staging(3)
    numbers.broken.clear()
    good.append(staging(3))
    link.settle()
    assert all(map(torch.equal, good, map(full, (2, 4, 3))))


def ended(threads):
    deadline = time.monotonic() + 10
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(thread.is_alive() for thread in threads)


def test_closing_ends_the_thread_and_gives_up_what_was_ahead():
    numbers = Numbers()
    staging = Staging(numbers, SHAPE, LateLink())
    staging(0)
    numbers.gate.clear()
    staging.prefetch(1)
    staging.prefetch(2)
    threading.Timer(0.05, numbers.gate.set).start()
    staging.close()
    staging.close()
    assert numbers.threads
    assert not any(thread.is_alive() for thread in numbers.threads)
    assert 2 not in numbers.read
    with pytest.raises(RuntimeError):
        staging(3)


def test_a_thread_does_not_outlive_its_owner():
    numbers = Numbers()
    staging = Staging(numbers, SHAPE, LateLink())
    staging.prefetch(1)
    staging(0)
    assert any(thread.is_alive() for thread in numbers.threads)
    del staging
    gc.collect()
    assert ended(numbers.threads)


def test_a_file_that_is_read_ahead_gives_the_batches_that_memory_gives(noise_images, tmp_path):
    np.save(tmp_path / "images.npy", noise_images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    cpu, link = torch.device("cpu"), LateLink()
    here, there = (
        Reader(images, Order(1, len(images), True, cpu), 16, cpu)
        for images in (noise_images, mapped)
    )
    staging = Staging(there.read, there.shape, link)
    got = []
    for first in range(0, 320, 16):
        staging.prefetch(first)
        staging.prefetch(first + 16)
        got.append(staging(first))
    staging.close()
    link.settle()
    assert all(map(torch.equal, got, map(here, range(0, 320, 16))))


@pytest.mark.slow
def test_a_program_ends_though_nobody_closed_what_it_read_ahead():
    code = """
import sys
sys.path.insert(0, "tests/support")
from gan.training.prefetch import Staging
from test_staging import SHAPE, LateLink, Numbers
staging = Staging(Numbers(), SHAPE, LateLink())
staging.prefetch(1)
staging.prefetch(2)
staging(0)
print("end", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
