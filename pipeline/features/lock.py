"""Files that one process at a time may hold; the kernel lets go when it ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.console import say

SILENT_S = 1.0  # of waiting
ASK_EVERY_S = 0.02


@contextmanager
def alone(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock for the block; says `waiting` on stderr if that takes over a second.

    Raises OSError where the file can't be made or locked.
    """
    while True:
        with path.open("a") as lock:
            _wait(lock, waiting)
            if _is_at(lock, path):
                yield
                return


@contextmanager
def alone_now(path: Path) -> Iterator[bool]:
    """Hold a lock for the block, which may remove it; False if another process does."""
    with path.open("a") as lock:
        yield _taken(lock) and _is_at(lock, path)


def in_use(path: Path) -> bool:
    """Whether a process holds the lock; makes no file."""
    if not path.exists():
        return False
    with path.open("a") as lock:
        return not _taken(lock)


def _wait(lock: IO[Any], waiting: str) -> None:
    until = time.monotonic() + SILENT_S
    while not _taken(lock):
        if time.monotonic() > until:
            say(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return
        time.sleep(ASK_EVERY_S)


def _taken(lock: IO[Any]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(lock: IO[Any], path: Path) -> bool:
    """Whether an open file is still the one of that name: who removes an entry takes its lock."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False
