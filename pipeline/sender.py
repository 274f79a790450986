"""The background thread that hands a spool's records on, and what it expects of a receiver."""

import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.spool import Record, Spool

BATCH = 200  # records read at a time; consecutive metrics among them travel together
RETRY_S = 30.0
CLOSING_ATTEMPTS = 3  # two writers of one SQLite file may have to wait for each other
PATIENCE_S = 5.0  # an attempt that fails slower than this was a hanging server: not again


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
    """The text less user names and passwords in its addresses."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def warn(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"tracking: {without_secrets(' '.join(message.split()))}\n")


def _runs(records: Sequence[tuple[int, Record]]) -> list[list[tuple[int, Record]]]:
    """Group consecutive metrics; everything else goes alone."""
    groups: list[list[tuple[int, Record]]] = []
    for entry in records:
        if groups and groups[-1][-1][1]["kind"] == entry[1]["kind"] == "metrics":
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


class Sender:
    """The one background thread that empties a spool; never raises into the caller."""

    def __init__(self, spool: Spool, connect: Callable[[], Receiver], target: str) -> None:
        """`connect` may be slow and may fail; `target` names the receiver without secrets."""
        self._spool = spool
        self._connect = connect
        self._target = target
        self._receiver: Receiver | None = None
        self._opened = False
        self._warned = False
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tracking", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def finish(self, timeout_s: float) -> None:
        """Send what is left, for at most `timeout_s`."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)

    def complain(self, problem: str) -> None:
        """Say on stderr what is wrong, once in the life of this sender."""
        if not self._warned:
            self._warned = True
            warn(problem)

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
            self._drain()
        except RowLostError:
            self._opened = False
            return False
        except Exception as error:
            self.complain(
                f"{self._target} does not take records ({_short(error)}); the work goes on, "
                f"they are kept in {self._spool.folder}"
            )
            return False
        return True

    def _drain(self) -> None:
        self._receiver = self._receiver or self._connect()
        if not self._opened:
            self._open(self._receiver)
        while entries := self._spool.read(self._spool.state["sent"], BATCH):
            for group in _runs(entries):
                self._send(self._receiver, [record for _, record in group])
                self._spool.state["sent"] = group[-1][0]
                self._spool.save()
                _forget_files(self._spool, group)

    def _open(self, receiver: Receiver) -> None:
        state = self._spool.state
        row_id = receiver.open(state["row"])
        if (state.get("target"), state.get("run_id")) != (self._target, row_id):
            state.update(target=self._target, run_id=row_id, sent=0)  # a new store: all of it
            self._spool.save()
        self._opened = True

    def _send(self, receiver: Receiver, records: list[Record]) -> None:
        try:
            receiver.send(self._spool.state["run_id"], records, self._spool.files)
        except RejectedError as error:
            if len(records) > 1:  # find the one that is refused, keep the others
                for record in records:
                    self._send(receiver, [record])
            else:
                self.complain(f"{self._target} refuses a record: {_short(error)}")


def _short(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:240]


def _forget_files(spool: Spool, group: Sequence[tuple[int, Record]]) -> None:
    for _, record in group:
        if "file" in record:
            (spool.files / record["file"]).unlink(missing_ok=True)
