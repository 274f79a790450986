"""Who may use a spool: one process at a time, and a stage goes before `gan sync`.

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
    """Another process has the spool."""


def _locked(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class SpoolLock:
    """The lock of one spool's folder; free at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: IO[str] | None = None

    def take(self, patience_s: float = 0.0, *, make: bool = False) -> None:
        """Take the lock; BusyError if another has it for longer than `patience_s`.

        make: the folder too; else FileNotFoundError where there is none. Whoever is patient is
        seen to wait (`wanted`) by the one that has it.
        """
        deadline = time.monotonic() + patience_s
        line: IO[str] | None = None
        try:
            while self._held is None and not self._try(make):
                if time.monotonic() >= deadline:
                    raise BusyError(f"{self._folder}: in use by another process")
                line = line or self._in_line()
                time.sleep(POLL_S)
        finally:
            if line is not None:
                line.close()

    def _try(self, make: bool) -> bool:
        try:
            if make:
                self._folder.mkdir(parents=True, exist_ok=True)
            stream = (self._folder / "lock").open("a+")
        except (FileNotFoundError, FileExistsError):
            if make and not self._folder.is_file():  # removed in between
                return False
            raise
        # nobody finds a lock again whose folder was removed in between
        if _locked(stream) and os.fstat(stream.fileno()).st_nlink:
            self._held = stream
            return True
        stream.close()
        return False

    def _in_line(self) -> IO[str] | None:
        try:
            stream = (self._folder / "waiting").open("a+")
        except FileNotFoundError:  # removed in between
            return None
        if _locked(stream):
            return stream
        stream.close()
        return None

    @property
    def wanted(self) -> bool:
        """Whether another process waits for the lock."""
        try:
            with (self._folder / "waiting").open("a+") as stream:
                return not _locked(stream)
        except OSError:
            return False

    def remove_folder(self) -> None:
        """Remove the folder that is held; out of the way first, so that nobody enters half of it.

        A folder that can't be removed stays, without an error.
        """
        aside = self._folder.with_name(f".{self._folder.name}.{os.getpid()}.removed")
        with suppress(OSError):
            self._folder.rename(aside)
            shutil.rmtree(aside)
        self.release()

    def release(self) -> None:
        """Let others in; nothing if it is free."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
