"""`gan sync`: sends kept records and missing parts of outs. Doing it twice changes nothing."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from gan.errors import GanError
from pipeline.console import short, without_secrets
from pipeline.paths import Paths
from pipeline.tracking.mlflow.logged_run import SyncStore
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.run_folder.earlier_form import convert_all
from pipeline.tracking.run_folder.kept_folders import (
    BUSY,
    KeptFolder,
    SyncResult,
    find_kept_folders,
    send_kept,
)

TIMEOUT_S = "15"
"""For one answer of a server: longer than a training waits, for big checkpoints."""


def run(paths: Paths) -> None:
    """Send every run folder that no process uses, then the parts of outs that their run lacks.

    Prints a line a run. GanError if the store can't be reached or something stays unsent.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", TIMEOUT_S)
    with _lock(paths.main_root / "logs" / "sync.lock"):
        convert_all(paths)
        _send_all(paths, _Store(paths))


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    """One `gan sync` at a time: two that find no run of a training would create it twice."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        sys.stdout.write("waiting for another `gan sync`\n")
        sys.stdout.flush()
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def _send_all(paths: Paths, store: "_Store") -> None:
    results = []
    for kept in find_kept_folders(paths):
        if result := store.send(kept):
            results.append(_print(result))
    if (paths.models / "final.pt").is_file():
        from pipeline.tracking.sync.outs import send_outs  # torch takes seconds

        results.append(_print(send_outs(paths, lambda: store.opened, store.target)))
    if not results:
        sys.stdout.write("nothing to send: no records are kept, and there is no models/final.pt\n")
        return
    _conclude(results, store)


def _print(result: SyncResult) -> SyncResult:
    sys.stdout.write(f"{result.name:<28}  {result.text}\n")
    sys.stdout.flush()
    return result


def _conclude(results: Sequence[SyncResult], store: "_Store") -> None:
    incomplete = [each for each in results if not each.complete]
    if incomplete:
        raise GanError(
            f"{len(incomplete)} of {len(results)} runs are incomplete in {store.target}; remove "
            "the cause named above, then `gan sync` again"
        )
    busy = any(BUSY in each.text for each in results)
    sent = any(each.sent for each in results)
    text = "sent what was missing in" if sent else "nothing is missing in"
    sys.stdout.write(f"{text} {store.target}{', except runs in use' if busy else ''}\n")


class _Store:
    """Configured store, opened when it is first needed."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._uri = tracking_uri(paths)
        self.target = without_secrets(self._uri)

    @cached_property
    def opened(self) -> SyncStore:
        """The open store; GanError where it can't be reached."""
        try:
            return SyncStore(self._uri, self.paths.main_root)
        except Exception as error:
            raise GanError(
                f"{self.target} can't be reached ({without_secrets(short(error))}); nothing is "
                "lost, `gan sync` again when it is back"
            ) from None

    def send(self, kept: KeptFolder) -> SyncResult | None:
        """Send a run folder. GanError where the store as a whole can't be reached."""
        result = send_kept(kept, lambda: self.opened, self.target)
        if result and isinstance(result.error, GanError):
            raise result.error
        if result and result.error:
            del self.opened
            _ = self.opened
        return result
