"""Tasks of a bench on all cores: order kept, bounded look-ahead, no process left behind."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import c_bool
from multiprocessing import connection, get_context, parent_process, resource_tracker

from gan.errors import GanError
from pipeline.preprocessing.workers.worker import Bench, Done, Task, Worker

AHEAD = 16  # tasks a worker that may wait: half a second's work, whatever the parent does


def usable_cores() -> int:
    """Cores that this process may run on; a container's share of their time is not known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    worker = Worker(bench, lambda: False)
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
                self._pool.submit(os.getpid)
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


_worker: Worker | None = None
"""In a worker process: what does its tasks."""


def _start_worker(stop: c_bool, bench: Bench) -> None:
    global _worker
    _worker = Worker(bench, lambda: stop.value)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _work(task: Task) -> Done:
    assert _worker is not None
    return _worker(task)


def _end_with_parent() -> None:
    """Leave when the parent is gone, however it went; a pool's workers would wait for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
