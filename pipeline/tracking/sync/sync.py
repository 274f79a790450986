"""`gan sync`: brings the store to what spools and outs say. Doing it twice changes nothing."""

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.tracking import rows as tracking
from pipeline.tracking.mlflow.row_contents import MlflowContents
from pipeline.tracking.spool.left_behind import BUSY, Left, Told, left_behind, send
from pipeline.tracking.spool.sender import short, without_secrets

TIMEOUT_S = "15"
"""For one answer of a server; a big checkpoint takes longer than what a training waits for."""


def run(paths: Paths) -> None:
    """Send every spool that no process uses, then what the outs know and their row lacks.

    Prints a line a row. GanError if the store can't be reached or something stays unsent.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", TIMEOUT_S)
    with _alone(paths.main_root / "logs" / "sync.lock"):
        _run(paths, _Store(paths))


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One at a time: two that find no row of a training would make it twice."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stdout.write("waiting for another `gan sync`\n")
            sys.stdout.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(paths: Paths, store: "_Store") -> None:
    left = left_behind(paths)
    told = [line for each in left if (line := _said(store.tell(each)))]
    if (paths.models / "final.pt").is_file():
        from pipeline.tracking.sync.complete import complete  # not at once: torch takes seconds

        told.append(_shown(complete(paths, lambda: store.opened)))
    if not told:
        sys.stdout.write("nothing to send: no records are kept, and there is no models/final.pt\n")
        return
    _conclude(told, store)


def _shown(told: Told) -> Told:
    sys.stdout.write(f"{told.name:<28}  {told.text}\n")
    sys.stdout.flush()
    return told


def _said(told: Told | None) -> Told | None:
    return None if told is None else _shown(told)


def _conclude(told: Sequence[Told], store: "_Store") -> None:
    kept = [each for each in told if not each.whole]
    if kept:
        raise GanError(
            f"{len(kept)} of {len(told)} not whole in {store.target}; `gan sync` again, when what "
            "is in the way is gone"
        )
    busy = any(BUSY in each.text for each in told)
    sent = any(each.sent for each in told)
    what = "sent what was missing in" if sent else "nothing is missing in"
    sys.stdout.write(f"{what} {store.target}{', but for what is in use' if busy else ''}\n")


class _Store:
    """The configured store, opened when it is first needed."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._uri = tracking.tracking_uri(paths)
        self.target = without_secrets(self._uri)

    @cached_property
    def opened(self) -> MlflowContents:
        """GanError where it can't be reached."""
        try:
            return MlflowContents(self._uri, self.paths.main_root)
        except Exception as error:
            raise GanError(
                f"{self.target} can't be reached ({without_secrets(short(error))}); nothing is "
                "lost, `gan sync` again when it is there"
            ) from None

    def tell(self, left: Left) -> Told | None:
        """Send a spool. GanError where the store is gone, as a whole."""
        told = send(left, lambda: self.opened, self.target)
        self._check(told)
        return told

    def _check(self, told: Told | None) -> None:
        if told is None or told.failed is None:
            return
        if isinstance(told.failed, GanError):
            raise told.failed
        self.__dict__.pop("opened", None)
        _ = self.opened
