"""Who hands a spool's records on, at once or in a thread, and what is expected of a receiver."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.tracking.spool.records import DAMAGED, Record, files_of
from pipeline.tracking.spool.spool import Spool

BATCH = 200  # records read at a time; consecutive metrics among them travel together
RETRY_S = 30.0
CLOSING_ATTEMPTS = 3  # two writers of one SQLite file may have to wait for each other
PATIENCE_S = 5.0  # an attempt that fails slower than this was a hanging server: not again


SECRET = r"(?i)\b(password|passwd|token|secret|api_key)=[^&\s]+"


class RejectedError(Exception):
    """The receiver understood the record and will never take it."""


class RowLostError(Exception):
    """The receiver no longer has the row."""


class Receiver(Protocol):
    """Where a spool is emptied into; any exception but the two above means: try again later."""

    def open(self, row: Mapping[str, Any]) -> str:
        """Find or create the row; returns its id. Must find what an earlier call created."""

    def send(self, row_id: str, records: Sequence[Record], files: Path) -> None:
        """Deliver records of one kind; sending the same ones again must change nothing."""


def without_secrets(text: str) -> str:
    """The text less user names and passwords in its addresses, also such as are not escaped."""
    text = re.sub(SECRET, r"\1=...", text)
    return re.sub(r"//(?:[^/\s]*@|[^/@\s:]+:(?!\d+/)[^@\s]*@)", "//", text)


def warn(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"tracking: {without_secrets(' '.join(message.split()))}\n")


def groups(records: Sequence[tuple[int, Record]]) -> list[list[tuple[int, Record]]]:
    """Group consecutive metrics; everything else goes alone."""
    groups: list[list[tuple[int, Record]]] = []
    for entry in records:
        if groups and groups[-1][-1][1]["kind"] == entry[1]["kind"] == "metrics":
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def deliver(
    receiver: Receiver,
    row_id: str,
    records: Sequence[Record],
    files: Path,
    refused: Callable[[str], None],
) -> None:
    """Send records of one kind; of those that are refused `refused` is told, the others arrive."""
    try:
        receiver.send(row_id, records, files)
    except (RejectedError, KeyError) as error:
        if len(records) > 1:  # find the one that is refused, keep the others
            for record in records:
                deliver(receiver, row_id, [record], files, refused)
        else:
            refused(short(error))


class Delivery:
    """Hands a spool's records on, in their order, and notes how far it is."""

    def __init__(
        self,
        spool: Spool,
        connect: Callable[[], Receiver],
        target: str,
        refused: Callable[[str], None],
    ) -> None:
        """`connect` may be slow and may fail; `target` names the receiver without secrets.

        refused: told why a record is never going to be taken.
        """
        self._spool = spool
        self._connect = connect
        self._target = target
        self._refused = refused
        self._receiver: Receiver | None = None
        self._opened = False
        self.gone = 0  # records whose file another store got already

    def open(self) -> None:
        """Find the row or make it: what the receiver does not have is unsent then."""
        self._receiver = self._receiver or self._connect()
        if self._opened:
            return
        state = self._spool.state
        row_id = self._receiver.open(state["row"])
        known, kind = state.get("target", ""), self._target.partition(":")[0]
        if known != self._target or state.get("run_id") != row_id:
            if known.partition(":")[0] != kind or state.get("run_id") != row_id:
                state["sent"] = 0  # a new store: all of it; else it has only moved
            state.update(target=self._target, run_id=row_id)
            self._spool.save()
        self._opened = True

    def batches(self, size: int = BATCH) -> Iterator[int]:
        """Send what is unsent, `size` records at most at a time; yields how many were confirmed.

        Raises what the receiver raises; after that all goes on where it was.
        """
        self.open()
        while entries := self._spool.read(self._spool.state["sent"], size):
            for group in groups(entries):
                self._send([record for _, record in group])
                self._spool.state["sent"] = group[-1][0]
                self._spool.save()
                _forget_files(self._spool, group)
                yield len(group)

    def _send(self, records: list[Record]) -> None:
        if records[0] is DAMAGED or self._receiver is None:
            return
        row_id, files = self._spool.state["run_id"], self._spool.files
        if not all((files / name).is_file() for name in files_of(records[0])):
            self.gone += 1
            return
        try:
            deliver(self._receiver, row_id, records, files, self._refused)
        except RowLostError:
            self._opened = False
            raise


class Sender:
    """The one background thread that empties a spool; never raises into the caller."""

    def __init__(self, spool: Spool, connect: Callable[[], Receiver], target: str) -> None:
        """See `Delivery`."""
        self._spool = spool
        self._target = target
        self._delivery = Delivery(
            spool, connect, target, lambda why: self.complain(f"{target} refuses a record: {why}")
        )
        self._warned = False
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def finish(self, timeout_s: float) -> None:
        """Send what is left, for at most `timeout_s`; the spool is free as soon as that ends."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)

    def complain(self, problem: str) -> None:
        """Say on stderr what is wrong, once in the life of this sender."""
        if not self._warned:
            self._warned = True
            warn(problem)

    def _run(self) -> None:
        try:
            self._loop()
        finally:
            self._spool.release()

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
            slow = time.monotonic() - began > PATIENCE_S
            if closing and (done or slow or attempts == CLOSING_ATTEMPTS):
                return
            pause = None if done else 1.0 if closing else RETRY_S

    def _try(self) -> bool:
        try:
            for _ in self._delivery.batches():
                pass
            if gone := self._delivery.gone:
                self.complain(f"{gone} files that {self._target} lacks are no longer here")
        except RowLostError:
            return False
        except Exception as error:
            self.complain(
                f"{self._target} does not take records ({short(error)}); the work goes on, "
                f"they are kept in {self._spool.folder}"
            )
            return False
        return True


def short(error: Exception) -> str:
    """Kind and first line of an error."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:240]


def _forget_files(spool: Spool, group: Sequence[tuple[int, Record]]) -> None:
    for _, record in group:
        for name in files_of(record):
            (spool.files / name).unlink(missing_ok=True)
