"""Lock of a run folder: one process at a time, and a stage goes before `gan sync`.

The lock is the kernel's (flock), so that it ends with its process, however that ends.
"""

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from gan.errors import GanError

POLL_S = 0.05


class BusyError(GanError):
    """Another process holds the lock of the run folder."""


def _lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FolderLock:
    """Lock of one run folder; free at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: IO[str] | None = None

    def take(self, timeout_s: float = 0.0, *, make: bool = False) -> None:
        """Take the lock; BusyError if another process holds it for longer than `timeout_s`.

        make: create the folder; else FileNotFoundError where there is none. The process that holds
        the lock can see that another one waits (`wanted`).
        """
        deadline = time.monotonic() + timeout_s
        queue: IO[str] | None = None
        try:
            while self._held is None and not self._try(make):
                if time.monotonic() >= deadline:
                    raise BusyError(f"{self._folder}: in use by another process")
                queue = queue or self._queue_up()
                time.sleep(POLL_S)
        finally:
            if queue is not None:
                queue.close()

    def _try(self, make: bool) -> bool:
        try:
            if make:
                self._folder.mkdir(parents=True, exist_ok=True)
            stream = (self._folder / "lock").open("a+")
        except (FileNotFoundError, FileExistsError):
            if make and not self._folder.is_file():  # removed in between
                return False
            raise
        # a lock whose folder was removed in between keeps nobody out
        if _lock(stream) and os.fstat(stream.fileno()).st_nlink:
            self._held = stream
            return True
        stream.close()
        return False

    def _queue_up(self) -> IO[str] | None:
        try:
            stream = (self._folder / "waiting").open("a+")
        except FileNotFoundError:  # removed in between
            return None
        if _lock(stream):
            return stream
        stream.close()
        return None

    @property
    def wanted(self) -> bool:
        """Whether another process waits for the lock."""
        try:
            with (self._folder / "waiting").open("a+") as stream:
                return not _lock(stream)
        except OSError:
            return False

    def remove_folder(self) -> None:
        """Remove the locked folder; it is renamed first, so that no process opens half of it.

        A folder that can't be removed stays, without an error.
        """
        renamed = self._folder.with_name(f".{self._folder.name}.{os.getpid()}.removed")
        with suppress(OSError):
            self._folder.rename(renamed)
            shutil.rmtree(renamed)
        self.release()

    def release(self) -> None:
        """Release the lock; does nothing if it is free."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
