"""Lock files: held by one process at a time, released by the kernel however that process ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.console import say

SILENT_S = 1.0
"""Seconds of waiting before the message."""

POLL_S = 0.02


@contextmanager
def hold_lock(path: Path, message: str) -> Iterator[None]:
    """Hold the lock for the block; prints `message` if another process keeps it over a second.

    Raises OSError where the file can't be created or locked.
    """
    while True:
        with path.open("a") as file:
            _wait(file, message)
            if _is_at(file, path):
                yield
                return


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Yield whether this process got the lock, which it may then remove; never waits."""
    with path.open("a") as file:
        yield _acquire(file) and _is_at(file, path)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock; creates no file."""
    if not path.exists():
        return False
    with path.open("a") as file:
        return not _acquire(file)


def _wait(file: IO[Any], message: str) -> None:
    deadline = time.monotonic() + SILENT_S
    while not _acquire(file):
        if time.monotonic() > deadline:
            say(message)
            fcntl.flock(file, fcntl.LOCK_EX)
            return
        time.sleep(POLL_S)


def _acquire(file: IO[Any]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[Any], path: Path) -> bool:
    """Return whether an open file still lies at its path: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
