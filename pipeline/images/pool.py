"""Files to avatars on all cores: order kept, bounded look-ahead, no process left behind."""

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context, parent_process
from multiprocessing.synchronize import Event

from gan.errors import GanError
from pipeline.images.avatars import Outcome, Recipe, make_avatars
from pipeline.images.face_box import Box
from pipeline.snapshot.reader import Location

CHUNK = 64  # pictures a task: large enough to hide the cost of passing it on
CHUNK_OF_PAGES = 8  # where faces are looked for, which takes far longer
AHEAD = 4  # tasks a worker that may wait, so that memory does not grow with the snapshot


def usable_cores() -> int:
    """Cores this process may run on (a container's share where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Job:
    """A file to work on, and the boxes that are noted for it."""

    location: Location
    noted: tuple[Box, ...] | None = None


def work_all(jobs: Sequence[Job], recipe: Recipe, workers: int) -> Generator[Outcome, None, None]:
    """What becomes of every file, in order; it does not depend on `workers`.

    With one worker, or one task, all is done in this process. Raises GanError if a shard cannot
    be read or a worker dies.
    """
    chunk = CHUNK if recipe.faces is None else CHUNK_OF_PAGES
    tasks = [jobs[i : i + chunk] for i in range(0, len(jobs), chunk)]
    work = partial(_work_task, recipe)
    workers = min(workers, len(tasks))
    done = map(work, tasks) if workers <= 1 else _in_order(work, tasks, workers)
    for task in done:
        yield from task


def read_blob(location: Location) -> bytes:
    """The bytes of one image; GanError if its shard cannot be read."""
    # Not Snapshot.read: a snapshot holds the whole manifest, too much to send to a worker.
    try:
        with location.shard.open("rb") as shard:
            shard.seek(location.offset)
            return shard.read(location.size)
    except OSError as error:
        raise GanError(f"{location.shard}: cannot be read: {error.strerror}") from None


def _work_task(recipe: Recipe, task: Sequence[Job]) -> list[Outcome]:
    return [
        make_avatars(read_blob(job.location), recipe, job.noted)
        for job in task
        if not _is_stopped()
    ]


def _in_order(
    work: "partial[list[Outcome]]", tasks: Sequence[Sequence[Job]], workers: int
) -> Iterator[list[Outcome]]:
    # spawn, not fork: a progress bar draws from a thread, and threads do not survive a fork.
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (stop,))
    waiting: deque[Future[list[Outcome]]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise GanError(
            "a decoding process was killed, perhaps for want of memory; lower "
            "preprocess.max_pixels or free some memory, and run `gan preprocess` again"
        ) from None
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


_stop: Event | None = None
"""In a worker: set when nobody waits for its tasks any more, so that it leaves them at once."""


def _start_worker(stop: Event) -> None:
    global _stop
    _stop = stop
    # Ctrl-C reaches the whole process group: the parent alone answers it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _is_stopped() -> bool:
    return _stop is not None and _stop.is_set()


def _end_with_parent() -> None:
    """Leave when the parent is gone, however it went; a pool's workers would wait for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
