"""Pool of worker processes: results in order, bounded look-ahead, no process left behind."""

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
from pipeline.preprocessing.workers.worker import Job, Task, TaskResult, Worker

AHEAD = 16  # waiting tasks a worker: half a second of work while the parent is busy


def usable_cores() -> int:
    """Cores that this process may run on; a container's CPU quota is not considered."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


RunTasks = Callable[[Iterable[Task]], Generator[TaskResult, None, None]]
"""Runs tasks and yields their results in order, the same for any number of workers.

Raises GanError if a shard cannot be read or a worker dies, OSError if the target cannot be
written. Once it is closed or has failed no worker writes any more.
"""


@contextmanager
def start_workers(job: Job, workers: int, pictures: int) -> Iterator[RunTasks]:
    """Start processes for a job of `pictures` pictures, no more than it has tasks.

    They start at once, so as to be ready when the tasks are. With one worker the tasks run in this
    process.
    """
    workers = min(workers, -(-pictures // job.chunk))
    if workers > 1:
        pool = _WorkerPool(job, workers)
        try:
            yield pool.run
        finally:
            pool.stop()
        return
    worker = Worker(job, lambda: False)
    try:
        yield lambda tasks: (worker(task) for task in tasks)
    finally:
        worker.close()


class _WorkerPool:
    """A pool of processes, and a flag that makes them end their tasks at once.

    The flag has no lock: a worker that is killed while it holds one would never release it.
    """

    def __init__(self, job: Job, workers: int) -> None:
        # spawn, not fork: a progress bar draws from a thread, and threads do not survive a fork.
        context = get_context("spawn")
        self._stopped = context.RawValue(c_bool, False)
        self._ahead = AHEAD * workers
        self._pool = ProcessPoolExecutor(workers, context, _start_worker, (self._stopped, job))
        self._shutdown = threading.Thread(target=self._pool.shutdown)
        resource_tracker.ensure_running()  # its start would unblock the signal again
        # Ctrl-C reaches the whole process group: only this process handles it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(workers):  # each starts one
                self._pool.submit(os.getpid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self, tasks: Iterable[Task]) -> Generator[TaskResult, None, None]:
        """See RunTasks."""
        waiting: deque[Future[TaskResult]] = deque()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(_run_task, task))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            self._shutdown.start()  # in the background, while this process goes on
        except BrokenProcessPool:
            raise GanError(
                "a decoding process was killed, perhaps for want of memory, or could not start; "
                "lower preprocess.max_pixels or free some memory, and run `gan preprocess` again"
            ) from None
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes, and wait until they have ended."""
        self._stopped.value = True
        if self._shutdown.ident is None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        else:
            self._shutdown.join()


_worker: Worker | None = None
"""The worker of a worker process."""


def _start_worker(stopped: c_bool, job: Job) -> None:
    global _worker
    _worker = Worker(job, lambda: stopped.value)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _run_task(task: Task) -> TaskResult:
    assert _worker is not None
    return _worker(task)


def _end_with_parent() -> None:
    """Exit when the parent has ended, however it did; a pool's workers would wait for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
