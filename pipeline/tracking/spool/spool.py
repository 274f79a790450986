"""The local side of tracking: records on disk first; knows nothing of who receives them."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.tracking.spool.lock import BusyError, SpoolLock
from pipeline.tracking.spool.records import (
    COUNTED,
    DAMAGED,
    Record,
    count,
    points_of,
    record_of,
    row_of,
    state_of,
)
from pipeline.tracking.spool.siblings import copy_prepared, new_name, records_of_relatives

__all__ = ["Record", "Spool", "milliseconds"]

PATIENCE_S = 5.0  # for `gan sync`, which makes way after what it sends at a time


def milliseconds() -> int:
    return int(time.time() * 1000)


def _prepared_name(step: int | None) -> str:
    return f"prepared-{step}.jsonl"


class Spool:
    """A folder: records.jsonl (append-only), files/ (copies to upload), run.json (row, progress).

    Records wait in memory until `commit`. Metrics and images that an earlier process committed
    are not taken a second time, so that a repeated stretch of training leaves no double points.
    One process at a time has it, from opening to `release`.
    """

    def __init__(self, folder: Path, row: Mapping[str, Any], reached: int | None = None) -> None:
        """Open or create `folder`; an existing row wins over `row`.

        What an earlier process prepared for step `reached` is committed. Raises OSError or
        GanError where the disk does not take it, BusyError if another process has it.
        """
        self._place(folder)
        self.lock.take(PATIENCE_S, make=True)
        try:
            self.files.mkdir(parents=True, exist_ok=True)
            self._records.touch()
            self.state = state_of(self.folder)
            new = not self.state
            if new:
                self.state = {"row": {"id": uuid.uuid4().hex, **row}, "sent": 0}
                self.save()
            self._read_all()
            self.continued = not new and self.committed > 0
            self._settle(reached)
            for record in records_of_relatives(self.folder):
                self._known.update(points_of(record))
        except BaseException:
            self.release()
            raise

    @classmethod
    def beside(cls, folder: Path, row: Mapping[str, Any], reached: int | None = None) -> Self:
        """A new spool for the row of `folder`, which another process uses; see `__init__`."""
        aside = new_name(folder)
        if reached is not None:
            copy_prepared(folder, aside, _prepared_name(reached))
        spool = cls(aside, row_of(folder) or row, reached)
        spool.continued = any(True for _ in records_of_relatives(aside))
        return spool

    @classmethod
    def left(cls, folder: Path) -> Self:
        """Open what another process left behind, to send it; nothing prepared is decided on.

        BusyError if a process has it, GanError if it can't be told which row it is of.
        """
        spool = cls.__new__(cls)
        spool._place(folder)
        spool.lock.take()
        try:
            spool.state, spool.continued = state_of(folder), True
            if not spool.state:
                raise GanError(f"{folder / 'run.json'}: missing or damaged; its row is unknown")
            spool._records.touch()
            spool._read_all()
        except BaseException:
            spool.release()
            raise
        return spool

    def _place(self, folder: Path) -> None:
        self.folder, self.lock = folder, SpoolLock(folder)
        self.files, self._records = folder / "files", folder / "records.jsonl"
        self._waiting: list[Record] = []

    def save(self) -> None:
        write_atomically(self.folder / "run.json", json.dumps(self.state, indent=1) + "\n")

    def _read_all(self) -> None:
        self.committed = self._cut_torn_line()
        self._known: set[tuple[str, int]] = set()
        self.last: Record = {}
        self.damaged = 0
        for _, record in self._lines_from(0):
            self._known.update(points_of(record))
            self.damaged += record is DAMAGED
            self.last = record

    def _cut_torn_line(self) -> int:
        """Only the last line can be torn: records are appended."""
        with self._records.open("rb+") as stream:
            size = end = stream.seek(0, os.SEEK_END)
            while end:
                first = max(0, end - COUNTED)
                stream.seek(first)
                if (found := stream.read(end - first).rfind(b"\n")) >= 0:
                    end = first + found + 1
                    break
                end = first
            if end < size:
                stream.truncate(end)
        return end

    @property
    def unsent(self) -> int:
        """Committed records that the receiver has not confirmed; 0 if somebody removed them."""
        return count(self._records, self.state["sent"], self.committed)

    def read(self, offset: int, limit: int) -> list[tuple[int, Record]]:
        """Committed records from a byte offset on, each with the offset behind it."""
        return [entry for _, entry in zip(range(limit), self._lines_from(offset), strict=False)]

    def _lines_from(self, offset: int) -> Iterator[tuple[int, Record]]:
        with self._records.open("rb") as stream:
            stream.seek(offset)
            while offset < self.committed:
                line = stream.readline()
                if not line.endswith(b"\n"):  # somebody took the file away or cut it
                    break
                offset += len(line)
                yield offset, record_of(line)

    def add(self, kind: str, **fields: Any) -> None:
        """Keep a record in memory, stamped with the time of now."""
        record = {"kind": kind, "time": milliseconds(), **fields}
        if kind == "metrics":
            values = {k: v for k, v in fields["values"].items() if not self.knows(k, fields)}
            record["values"] = values
            if not values:
                return
        self._waiting.append(record)

    def knows(self, key: str, fields: Mapping[str, Any]) -> bool:
        """Whether an earlier process committed a point of this key at this step."""
        return (key, fields["step"]) in self._known

    def keep(self, file: Path, name: str) -> str:
        """Copy a file into the spool; returns its path below `files`."""
        target = self.files / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(target.name + ".new")
        shutil.copyfile(file, draft)
        draft.replace(target)
        return name

    def prepare(self, step: int) -> None:
        """Write down what waits, to be committed by a later process that goes on from `step`."""
        write_atomically(self._prepared(step), self._lines())

    def _prepared(self, step: int | None) -> Path:
        return self.folder / _prepared_name(step)

    def _lines(self) -> bytes:
        return "".join(json.dumps(record) + "\n" for record in self._waiting).encode()

    def _settle(self, reached: int | None) -> None:
        """Commit what was prepared for the checkpoint that was reached; forget all else."""
        for path in sorted(self.folder.glob("prepared-*.jsonl")):
            lines = path.read_bytes()
            if path == self._prepared(reached) and not self._ends_with(lines):
                self._append(lines)
                self._read_all()
            path.unlink()

    def _ends_with(self, lines: bytes) -> bool:
        with self._records.open("rb") as stream:
            stream.seek(max(0, self.committed - len(lines)))
            return stream.read() == lines

    def commit(self) -> None:
        """Make what was added durable (fsync). On OSError it stays in memory for the next call."""
        if lines := self._lines():
            self._append(lines)
        self._waiting.clear()
        for path in self.folder.glob("prepared-*.jsonl"):
            path.unlink()

    def _append(self, lines: bytes) -> None:
        try:
            with self._records.open("ab") as stream:
                stream.write(lines)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            os.truncate(self._records, self.committed)  # no half line under the next commit
            raise
        self.committed += len(lines)

    def drop(self) -> None:
        """Forget what was never committed."""
        self._waiting.clear()

    def release(self) -> None:
        """Let other processes have it; nothing is added or sent afterwards."""
        self.lock.release()

    def remove(self) -> None:
        """Remove the folder, unless another process has it by now."""
        try:
            self.lock.take()
        except (BusyError, FileNotFoundError):
            return
        self.lock.remove_folder()
