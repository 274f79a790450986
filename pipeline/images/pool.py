"""Files to avatars on all cores: order kept, bounded look-ahead, no process left behind.

Workers read shards and write into the staged cache themselves; only facts come back, since a
pipe between processes costs as much as decoding.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import c_bool
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import connection, get_context, parent_process, resource_tracker
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from pipeline.images.avatars import Avatar, Recipe, make_avatars
from pipeline.images.face_box import Box
from pipeline.images.face_rules import Reject
from pipeline.images.measures import MEASURES, measure
from pipeline.images.staged import StagedImages

CHUNK = 64  # pictures a task: large enough to hide the cost of passing it on
CHUNK_OF_PAGES = 8  # where faces are looked for, which takes far longer
AHEAD = 16  # tasks a worker that may wait: half a second's work, whatever the parent does

AVATARS = np.dtype(
    [("entry", "i8"), ("slot", "i8"), ("side", "f8"), ("box", "f8", 5), *MEASURES.descr]
)
"""What is known of an avatar: its picture and slot, pixels of the side that was cut out, the
face's box and score (NaN where none was looked for), and what was measured."""


def usable_cores() -> int:
    """Cores that this process may run on; a container's share of their time is not known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Bench:
    """What all tasks share: where files are, how avatars are made and measured, where they go.

    A picture has `slots` slots in the file `target`: as many as avatars may come of it.
    """

    shards: tuple[Path, ...]
    recipe: Recipe
    target: Path
    slots: int
    hashes: bool
    looks: bool

    @property
    def chunk(self) -> int:
        """Pictures a task."""
        return CHUNK if self.recipe.faces is None else CHUNK_OF_PAGES


@dataclass(frozen=True, slots=True)
class Task:
    """Neighbouring entries from `first` on: shard, offset and size of each file, noted boxes."""

    first: int
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    noted: dict[int, tuple[Box, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a task: AVATARS, what was left out by entry, how many faces were found."""

    pictures: int
    avatars: NDArray[np.void]
    rejects: tuple[tuple[int, Reject], ...]
    found: int


class Worker:
    """Does tasks one after the other; holds the shard open that it read last."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._shard, self._file = -1, -1

    @cached_property
    def _target(self) -> StagedImages:
        """Opened with the first task: earlier its folder is not there."""
        return StagedImages(self._bench.target, self._bench.recipe.geometry.size)

    def close(self) -> None:
        if "_target" in self.__dict__:
            self._target.close()
        if self._file >= 0:
            os.close(self._file)

    def __call__(self, task: Task) -> Done:
        """Make, measure and store the avatars of a task; GanError if a shard cannot be read."""
        made: list[tuple[int, int, Avatar]] = []
        rejects: list[tuple[int, Reject]] = []
        found = 0
        files = zip(task.shard.tolist(), task.offset.tolist(), task.size.tolist(), strict=True)
        for entry, file in enumerate(files, start=task.first):
            if _is_stopped():
                break
            noted = task.noted.get(entry) if task.noted is not None else None
            outcome = make_avatars(self._read(*file), self._bench.recipe, noted)
            found += outcome.found
            rejects += ((entry, each) for each in outcome.rejects)
            made += ((entry, number, each) for number, each in enumerate(outcome.avatars))
        return Done(len(task.shard), self._store(made), tuple(rejects), found)

    def _read(self, shard: int, offset: int, size: int) -> bytes:
        path = self._bench.shards[shard]
        try:
            if shard != self._shard:
                self._open(path, shard)
            return os.pread(self._file, size, offset)
        except OSError as error:
            raise GanError(f"{path}: cannot be read: {error.strerror}") from None

    def _open(self, path: Path, shard: int) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._shard, self._file = -1, -1
        self._file = os.open(path, os.O_RDONLY)
        self._shard = shard

    def _store(self, made: list[tuple[int, int, Avatar]]) -> NDArray[np.void]:
        facts = np.zeros(len(made), AVATARS)
        if not made:
            return facts
        images = np.stack([avatar.pixels for _, _, avatar in made])
        measured = measure(images, hashes=self._bench.hashes, looks=self._bench.looks)
        for name in MEASURES.names or ():
            facts[name] = measured[name]
        facts["box"] = np.nan
        for fact, (entry, number, avatar) in zip(facts, made, strict=True):
            fact["entry"], fact["slot"] = entry, entry * self._bench.slots + number
            fact["side"] = avatar.side
            if avatar.box is not None:
                box = avatar.box
                fact["box"] = (box.x, box.y, box.width, box.height, box.score)
        self._target.write(facts["slot"], images)
        return facts


Work = Callable[[Iterable[Task]], Generator[Done, None, None]]
"""What comes of every task, in order; it does not depend on the number of workers.

Raises GanError if a shard cannot be read or a worker dies, OSError if the target cannot be
written. When it is closed or fails no worker writes any more.
"""


@contextmanager
def hired(bench: Bench, workers: int) -> Iterator[Work]:
    """Processes that work at `bench`; with one worker all is done in this process.

    They start at once, so that they are ready when the tasks are.
    """
    if workers > 1:
        crew = _Crew(bench, workers)
        try:
            yield crew.work
        finally:
            crew.dismiss()
        return
    worker = Worker(bench)
    try:
        yield lambda tasks: (worker(task) for task in tasks)
    finally:
        worker.close()


class _Crew:
    """A pool of processes, and a flag that makes them leave what they do.

    The flag has no lock: one that a killed worker took would be held for ever.
    """

    def __init__(self, bench: Bench, workers: int) -> None:
        # spawn, not fork: a progress bar draws from a thread, and threads do not survive a fork.
        context = get_context("spawn")
        self._stop = context.RawValue(c_bool, False)
        self._ahead = AHEAD * workers
        self._pool = ProcessPoolExecutor(workers, context, _start_worker, (self._stop, bench))
        self._leaving = threading.Thread(target=self._pool.shutdown)
        resource_tracker.ensure_running()  # which would unblock the signal again
        # Ctrl-C reaches the whole process group: this process alone answers it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(workers):  # each starts one
                self._pool.submit(_is_stopped)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def work(self, tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """See Work."""
        waiting: deque[Future[Done]] = deque()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(_work, task))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            self._leaving.start()  # while this process does the rest
        except BrokenProcessPool:
            raise GanError(
                "a decoding process was killed, perhaps for want of memory, or could not start; "
                "lower preprocess.max_pixels or free some memory, and run `gan preprocess` again"
            ) from None
        except BaseException:
            self.dismiss()
            raise

    def dismiss(self) -> None:
        """Have all leave, and wait until they have."""
        self._stop.value = True
        if self._leaving.ident is None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        else:
            self._leaving.join()


_stop: c_bool | None = None
"""In a worker process: set when nobody waits for its tasks any more; it leaves them at once."""
_worker: Worker | None = None
"""In a worker process: what does its tasks."""


def _start_worker(stop: c_bool, bench: Bench) -> None:
    global _stop, _worker
    _stop, _worker = stop, Worker(bench)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _work(task: Task) -> Done:
    assert _worker is not None
    return _worker(task)


def _is_stopped() -> bool:
    return _stop is not None and _stop.value


def _end_with_parent() -> None:
    """Leave when the parent is gone, however it went; a pool's workers would wait for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
