"""Decoding on all cores: order kept, bounded look-ahead, no process outlives its parent."""

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import connection, get_context, parent_process
from multiprocessing.synchronize import Event

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from pipeline.images.decode import BadImageError, Geometry, decode
from pipeline.snapshot.reader import Location

Decoded = NDArray[np.uint8] | str
"""A picture (size,size,3), or the reason why there is none."""

CHUNK = 64  # pictures a task: large enough to hide the cost of passing it on
AHEAD = 4  # tasks a worker that may wait, so that memory does not grow with the snapshot


def usable_cores() -> int:
    """Cores this process may run on (a container's share where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def decode_all(
    locations: Sequence[Location], geometry: Geometry, workers: int
) -> Generator[Decoded, None, None]:
    """Decode every blob, in order; what comes out does not depend on `workers`.

    With one worker, or one task, all is done in this process. Raises GanError if a shard cannot
    be read or a worker dies.
    """
    tasks = [locations[i : i + CHUNK] for i in range(0, len(locations), CHUNK)]
    work = partial(_decode_task, geometry)
    workers = min(workers, len(tasks))
    done = map(work, tasks) if workers <= 1 else _in_order(work, tasks, workers)
    for task in done:
        yield from task


def _decode_task(geometry: Geometry, task: Sequence[Location]) -> list[Decoded]:
    return [_decode_one(geometry, location) for location in task if not _is_stopped()]


def _decode_one(geometry: Geometry, location: Location) -> Decoded:
    try:
        data = _read(location)
    except OSError as error:
        raise GanError(f"{location.shard}: cannot be read: {error.strerror}") from None
    try:
        return decode(data, geometry)
    except BadImageError as error:
        return str(error)


def _read(location: Location) -> bytes:
    # Not Snapshot.read: a snapshot holds the whole manifest, too much to send to a worker.
    with location.shard.open("rb") as shard:
        shard.seek(location.offset)
        return shard.read(location.size)


def _in_order(
    work: "partial[list[Decoded]]", tasks: Sequence[Sequence[Location]], workers: int
) -> Iterator[list[Decoded]]:
    # spawn, not fork: a progress bar draws from a thread, and threads do not survive a fork.
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (stop,))
    waiting: deque[Future[list[Decoded]]] = deque()
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
