"""Sending of a run folder's records, at once or in a background thread."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.console import short, without_secrets
from pipeline.tracking.run_folder.folder import DAMAGED, Record, RunFolder, record_files

BATCH = 200  # records read at a time; consecutive metrics among them are sent together
RETRY_S = 30.0
CLOSING_ATTEMPTS = 3  # two writers of one SQLite file may have to wait for each other
SLOW_ATTEMPT_S = 5.0  # an attempt that fails slower than this was a hanging server: no retry


class RejectedError(Exception):
    """The store understood the record and will never accept it."""


class RunLostError(Exception):
    """The store no longer has the run."""


class RecordWriter(Protocol):
    """Writer of records into a store; any exception but the two above means: try again later."""

    def open_run(self, header: Mapping[str, Any]) -> str:
        """Find or create the run; returns its id. Must find what an earlier call created."""

    def write(self, run_id: str, records: Sequence[Record], files: Path) -> None:
        """Write records of one kind; writing the same ones again must change nothing."""


def warn(message: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(f"tracking: {without_secrets(' '.join(message.split()))}\n")


def group_metrics(records: Sequence[tuple[int, Record]]) -> list[list[tuple[int, Record]]]:
    """Group consecutive metrics; every other record is a group of its own."""
    groups: list[list[tuple[int, Record]]] = []
    for entry in records:
        if groups and groups[-1][-1][1]["kind"] == entry[1]["kind"] == "metrics":
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def write_records(
    writer: RecordWriter,
    run_id: str,
    records: Sequence[Record],
    files: Path,
    on_rejected: Callable[[str], None],
) -> None:
    """Write records of one kind; calls `on_rejected` for each that the store rejects."""
    try:
        writer.write(run_id, records, files)
    except (RejectedError, KeyError) as error:
        if len(records) > 1:  # find the rejected one, write the others
            for record in records:
                write_records(writer, run_id, [record], files, on_rejected)
        else:
            on_rejected(short(error))


class Delivery:
    """Sends a run folder's records in their order, and saves how far it is."""

    def __init__(
        self,
        folder: RunFolder,
        connect: Callable[[], RecordWriter],
        target: str,
        on_rejected: Callable[[str], None],
    ) -> None:
        """`connect` may be slow and may fail; `target` names the store without secrets.

        on_rejected: called with the reason for each record that the store rejects.
        """
        self._folder = folder
        self._connect = connect
        self._target = target
        self._on_rejected = on_rejected
        self._writer: RecordWriter | None = None
        self._opened = False
        self.lacking_file = 0  # records whose file was deleted once an earlier store had it

    def open_run(self) -> None:
        """Find or create the run; records that this store does not have count as unsent then."""
        self._writer = self._writer or self._connect()
        if self._opened:
            return
        state = self._folder.state
        run_id = self._writer.open_run(self._folder.header)
        known, scheme = state.get("target", ""), self._target.partition(":")[0]
        if known != self._target or state.get("run_id") != run_id:
            if known.partition(":")[0] != scheme or state.get("run_id") != run_id:
                state["sent"] = 0  # another store: send everything; else it was only moved
            state.update(target=self._target, run_id=run_id)
            self._folder.save_state()
        self._opened = True

    def send_batches(self, size: int = BATCH) -> Iterator[int]:
        """Send unsent records, at most `size` at a time; yields how many were confirmed.

        Raises errors of the writer; the next call resumes behind the last confirmed record.
        """
        self.open_run()
        while entries := self._folder.read(self._folder.state["sent"], size):
            for group in group_metrics(entries):
                self._send([record for _, record in group])
                self._folder.state["sent"] = group[-1][0]
                self._folder.save_state()
                self._delete_files(group)
                yield len(group)

    def _send(self, records: list[Record]) -> None:
        if records[0] is DAMAGED or self._writer is None:
            return
        run_id, files = self._folder.state["run_id"], self._folder.files
        if not all((files / name).is_file() for name in record_files(records[0])):
            self.lacking_file += 1
            return
        try:
            write_records(self._writer, run_id, records, files, self._on_rejected)
        except RunLostError:
            self._opened = False
            raise

    def _delete_files(self, group: Sequence[tuple[int, Record]]) -> None:
        for _, record in group:
            for name in record_files(record):
                (self._folder.files / name).unlink(missing_ok=True)


class Sender:
    """Background thread that sends a run folder; never raises into the caller."""

    def __init__(
        self, folder: RunFolder, connect: Callable[[], RecordWriter], target: str
    ) -> None:
        """Start the thread; for the arguments see `Delivery`."""
        self._folder = folder
        self._target = target
        self._delivery = Delivery(
            folder,
            connect,
            target,
            lambda why: self._warn_once(f"{target} rejects a record: {why}"),
        )
        self._warned = False
        self._closing = False
        self._wake = threading.Event()
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
            warn(problem)

    def _run(self) -> None:
        try:
            self._loop()
        finally:
            self._folder.release()

    def _loop(self) -> None:
        pause: float | None = 0.0
        attempts = 0
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            closing = self._closing
            attempts += closing
            began = time.monotonic()
            done = self._try()
            slow = time.monotonic() - began > SLOW_ATTEMPT_S
            if closing and (done or slow or attempts == CLOSING_ATTEMPTS):
                return
            pause = None if done else 1.0 if closing else RETRY_S

    def _try(self) -> bool:
        try:
            for _ in self._delivery.send_batches():
                pass
            if lacking := self._delivery.lacking_file:
                self._warn_once(
                    f"{self._target} lacks {lacking} files that were deleted here when an "
                    "earlier store had them"
                )
        except RunLostError:
            return False
        except Exception as error:
            self._warn_once(
                f"{self._target} does not accept records ({short(error)}); the work continues, "
                f"they are kept in {self._folder.folder}"
            )
            return False
        return True
