"""Pool of worker processes: results in order, bounded look-ahead, no process left behind.

Tasks are cut from a plan, and the results of all of them gathered.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from ctypes import c_bool
from multiprocessing import connection, get_context, parent_process, resource_tracker

import numpy as np

from gan.errors import GanError
from pipeline.console import progress
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.plan import Plan
from pipeline.preprocessing.workers.worker import AVATAR_DTYPE, Decoded, Job, Task, Worker

AHEAD = 16  # waiting tasks a worker: half a second of work while the parent is busy


def usable_cores() -> int:
    """Cores that this process may run on; a container's CPU quota is not considered."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


RunTasks = Callable[[Iterable[Task]], Iterator[Decoded]]
"""Runs tasks and yields their results in order, the same for any number of workers.

Raises GanError if a shard cannot be read, OSError if the target cannot be written.
"""


@contextmanager
def start_workers(job: Job, workers: int, pictures: int) -> Iterator[RunTasks]:
    """Start processes for a job of `pictures` pictures, no more than it has tasks.

    They start at once, so as to be ready when the tasks are, and have ended when the block has.
    With one worker the tasks run in this process. Raises GanError if a worker dies.
    """
    workers = min(workers, -(-pictures // job.chunk))
    if workers <= 1:
        with closing(Worker(job, lambda: False)) as worker:
            yield lambda tasks: map(worker, tasks)
        return
    # spawn, not fork: a progress bar draws from a thread, and threads do not survive a fork.
    context = get_context("spawn")
    # No lock: a worker that is killed while it holds one would never release it.
    stopped = context.RawValue(c_bool, False)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (stopped, job))
    try:
        _start_processes(pool, workers)
        yield lambda tasks: _run_in_order(pool, tasks, AHEAD * workers)
    except BrokenProcessPool:
        raise GanError(
            "a decoding process was killed, perhaps for want of memory, or could not start; "
            "lower preprocess.max_pixels or free some memory, and run `gan preprocess` again"
        ) from None
    finally:
        stopped.value = True  # tasks that are no longer wanted end at once
        pool.shutdown(cancel_futures=True)


def _start_processes(pool: ProcessPoolExecutor, workers: int) -> None:
    resource_tracker.ensure_running()  # its start would unblock the signal again
    # Ctrl-C reaches the whole process group: only this process handles it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(workers):  # each starts one
            pool.submit(os.getpid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_in_order(
    pool: ProcessPoolExecutor, tasks: Iterable[Task], ahead: int
) -> Iterator[Decoded]:
    waiting: deque[Future[Decoded]] = deque()
    for task in tasks:
        waiting.append(pool.submit(_run_task, task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
    pool.shutdown(wait=False)  # what follows needs no workers, but perhaps their memory


_worker: Worker | None = None
"""The worker of a worker process."""


def _start_worker(stopped: c_bool, job: Job) -> None:
    global _worker
    _worker = Worker(job, lambda: stopped.value)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _run_task(task: Task) -> Decoded:
    assert _worker is not None
    return _worker(task)


def _end_with_parent() -> None:
    """Exit when the parent has ended, however it did; a pool's workers would wait for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def cut_tasks(plan: Plan, length: int) -> Iterator[Task]:
    """Tasks of `length` neighbouring pictures of the plan, the last one shorter."""
    index, listed = plan.index, plan.listed_boxes
    for start in range(0, len(plan), length):
        image = plan.image[start : start + length]
        pictures = range(start, start + len(image))
        boxes = {picture: listed[picture] for picture in pictures if picture in listed}
        yield Task(start, index.shard[image], index.offset[image], index.size[image], boxes)


def gather(results: Iterable[Decoded], pictures: int) -> Decoded:
    """Run the tasks under a progress bar; `results` come in the order of the plan."""
    parts = [np.empty(0, AVATAR_DTYPE)]
    rejects: list[tuple[int, Reject]] = []
    count = done = 0
    with progress("preprocess", pictures) as advance:
        for result in results:
            parts.append(result.avatars)
            rejects += result.rejects
            count += len(result.avatars)
            done += result.pictures
            advance(done, f"{count:,} candidates")  # which ones are kept is decided among all
    return Decoded(done, np.concatenate(parts), rejects)
