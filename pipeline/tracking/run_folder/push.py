"""Sending of a run folder to a store: the records behind the last confirmed one, in their order.

`gan sync` pushes folders that are left; while a stage works, a thread does it (`Sender`).
A push that is repeated, also after a kill, sends nothing twice but the batch under way, and
writing that again changes nothing.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import TYPE_CHECKING

from pipeline.console import one_line, short, without_secrets
from pipeline.tracking.run_folder.folder import DAMAGED, RECORDS, Record, RunFolder

if TYPE_CHECKING:
    from pipeline.tracking.mlflow.writer import MlflowWriter

RETRY_S = 30.0
CLOSING_ATTEMPTS = 3  # two writers of one SQLite file may have to wait for each other
SLOW_ATTEMPT_S = 5.0  # an attempt that fails slower than this was a hanging server: no retry
BATCH = 1000  # records: as many points as MLflow accepts in one call, where each has one


class RejectedError(Exception):
    """The store understood the record and will never accept it."""


class RunLostError(Exception):
    """The store no longer has the run."""


def push(
    folder: RunFolder, writer: "MlflowWriter", target: str, on_rejected: Callable[[str], None]
) -> Iterator[int]:
    """Send unsent records to the store `target`; yields how many were confirmed.

    The caller holds the folder's lock. on_rejected: called with the reason for each record that
    the store rejects. Errors of the writer are raised; the next push resumes behind the last
    confirmed record, and opens another run after RunLostError.
    """
    if not folder.opened:
        folder.set_target(target, writer.open_run(folder.header))
    for group in _group(folder.read_unsent()):
        records = [record for _, record in group]
        try:
            _send(folder, writer, records, on_rejected)
        except RunLostError:
            folder.opened = False
            raise
        folder.confirm(group[-1][0], records)
        yield len(group)


def _group(entries: Iterable[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    """Group consecutive metrics; every other record is a group of its own."""
    for kind, same in groupby(entries, lambda entry: entry[1]["kind"]):
        while group := list(islice(same, BATCH if kind == "metrics" else 1)):
            yield group


def _send(
    folder: RunFolder,
    writer: "MlflowWriter",
    records: list[Record],
    on_rejected: Callable[[str], None],
) -> None:
    if records[0] is DAMAGED:
        on_rejected(f"a damaged line in {folder.path / RECORDS}")
        return
    if not all((folder.files / name).is_file() for name in records[0].get("files", ())):
        folder.lacking += 1
        return
    try:
        writer.write(folder.state["run_id"], records, folder.files)
    except (RejectedError, KeyError) as error:
        if len(records) == 1:
            on_rejected(short(error))
            return
        for record in records:  # find the rejected one, write the others
            _send(folder, writer, [record], on_rejected)


def warn(message: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(f"tracking: {without_secrets(one_line(message))}\n")


class Sender:
    """Thread that sends a run folder; never raises into the caller.

    It holds the folder's lock until its end; while `gan sync` has it, it tries again later.
    """

    def __init__(
        self, folder: RunFolder, connect: "Callable[[], MlflowWriter]", target: str
    ) -> None:
        """Start it. `connect` may be slow and may fail; `target` names the store, no secrets."""
        self._folder, self._connect, self._target = folder, connect, target
        self._writer: MlflowWriter | None = None
        self._warned = self._closing = False
        self._wake = threading.Event()
        self._folder.take()  # at once, so that no other process removes the folder
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let the thread send now."""
        self._wake.set()

    def finish(self, timeout_s: float) -> None:
        """Send what is left, for at most `timeout_s`; the thread then releases the folder."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _warn_once(self, problem: str) -> None:
        """Print the first problem of this sender on stderr."""
        if not self._warned:
            self._warned = True
            warn(f"{self._target} {problem}")

    def _run(self) -> None:
        try:
            while not self._closing:
                self._try()
                self._wake.wait(RETRY_S)
                self._wake.clear()
            for _ in range(CLOSING_ATTEMPTS):
                began = time.monotonic()
                if self._try() or time.monotonic() - began > SLOW_ATTEMPT_S:
                    return
                time.sleep(1)
        finally:
            self._folder.release()

    def _try(self) -> bool:
        try:
            if not self._folder.take():
                return False
            self._writer = self._writer or self._connect()
            rejected: list[str] = []
            for _ in push(self._folder, self._writer, self._target, rejected.append):
                pass
        except RunLostError:
            return False
        except Exception as error:
            self._warn_once(
                f"does not accept records ({short(error)}); the work continues, they are kept in "
                f"{self._folder.path}"
            )
            return False
        if rejected:
            self._warn_once(f"rejects a record: {rejected[0]}")
        if self._folder.lacking:
            self._warn_once(
                f"lacks {self._folder.lacking} files that were deleted here when an earlier "
                "store had them"
            )
        return True
