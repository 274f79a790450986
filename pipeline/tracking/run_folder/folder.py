"""Run folder: the records of one MLflow run on disk, written before anything is sent.

records.jsonl (append-only), files/ (copies to upload), run.json (header of the run, progress of
sending). Nothing here knows where the records are sent.
"""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.tracking.run_folder.lock import BusyError, FolderLock

Record = dict[str, Any]

DAMAGED: Record = {"kind": "damaged"}
"""Stand-in for a line that is not a record."""

LOCK_TIMEOUT_S = 5.0  # for `gan sync`, which releases the lock between two batches
CHUNK = 1 << 20  # bytes
SUFFIX = "-" + "[0-9a-f]" * 8  # of a second folder for the same run


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return int(time.time() * 1000)


def read_state(folder: Path) -> dict[str, Any]:
    """Read run.json, also while a process uses the folder; {} if it is missing or damaged."""
    try:
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    valid = isinstance(state, dict) and isinstance(state.get("row"), dict)
    return state if valid and isinstance(state.get("sent"), int) else {}


def read_header(folder: Path) -> dict[str, Any]:
    """Read the fields that the MLflow run is opened with; {} if they are unknown."""
    header: dict[str, Any] = read_state(folder).get("row", {})
    return header


def count_unsent(folder: Path) -> int:
    """Count records that are not confirmed; all of them where run.json is missing."""
    records = folder / "records.jsonl"
    if not records.is_file():
        return 0
    return _count_lines(records, read_state(folder).get("sent", 0), records.stat().st_size)


def record_files(record: Mapping[str, Any]) -> list[str]:
    """Paths of a record's files, relative to the folder's `files`."""
    return [*record.get("files", ()), *([record["file"]] if "file" in record else ())]


def _parse_record(line: bytes) -> Record:
    """Parse a line of records.jsonl; DAMAGED if it is not a record."""
    try:
        record = json.loads(line)
        _point_keys(record)
        valid = isinstance(record["time"], int)
    except (ValueError, KeyError, TypeError, AttributeError):
        return DAMAGED
    return record if valid else DAMAGED


def _point_keys(record: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Keys and steps of a record's metrics or image."""
    if record["kind"] == "metrics":
        return [(key, record["step"]) for key in record["values"]]
    return [(record["key"], record["step"])] if record["kind"] == "image" else []


def _count_lines(file: Path, start: int, end: int) -> int:
    """Count lines between two offsets without parsing them, for there may be a million."""
    if start >= end or not file.is_file():
        return 0
    lines = 0
    with file.open("rb") as stream:
        stream.seek(start)
        while start < end and (chunk := stream.read(min(CHUNK, end - start))):
            lines += chunk.count(b"\n")
            start += len(chunk)
    return lines


def _name_prepared(step: int | None) -> str:
    return f"prepared-{step}.jsonl"


class RunFolder:
    """Records of one run, in a folder that one process has from opening to `release`.

    Records wait in memory until `commit`. Metrics and images that an earlier process committed
    are not recorded again, so that a repeated stretch of training leaves no double points.
    """

    def __init__(
        self, folder: Path, header: Mapping[str, Any], resumed_from: int | None = None
    ) -> None:
        """Open or create `folder`; a header that it has already wins over `header`.

        Records that an earlier process prepared for the checkpoint at step `resumed_from` are
        committed. Raises OSError or GanError where the disk refuses, BusyError if another process
        has the folder.
        """
        self._set_paths(folder)
        self.lock.take(LOCK_TIMEOUT_S, make=True)
        try:
            self.files.mkdir(parents=True, exist_ok=True)
            self._records.touch()
            self.state = read_state(self.folder)
            new = not self.state
            if new:
                self.state = {"row": {"id": uuid.uuid4().hex, **header}, "sent": 0}
                self.save_state()
            self._read_all()
            self.continued = not new and self.committed > 0
            self._commit_prepared(resumed_from)
            for record in _records_beside(self.folder):
                self._known.update(_point_keys(record))
        except BaseException:
            self.release()
            raise

    @classmethod
    def open_beside(
        cls, folder: Path, header: Mapping[str, Any], resumed_from: int | None = None
    ) -> Self:
        """Create a second folder for the run of `folder`, which another process uses."""
        beside = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
        if resumed_from is not None:
            _copy_prepared(folder, beside, _name_prepared(resumed_from))
        opened = cls(beside, read_header(folder) or header, resumed_from)
        opened.continued = any(True for _ in _records_beside(beside))
        return opened

    @classmethod
    def open_existing(cls, folder: Path) -> Self:
        """Open the folder of a process that has ended, to send it; prepared records stay as is.

        BusyError if a process has it, GanError if run.json does not say which run it is of.
        """
        opened = cls.__new__(cls)
        opened._set_paths(folder)
        opened.lock.take()
        try:
            opened.state, opened.continued = read_state(folder), True
            if not opened.state:
                raise GanError(
                    f"{folder / 'run.json'}: missing or damaged, so its MLflow run is unknown"
                )
            opened._records.touch()
            opened._read_all()
        except BaseException:
            opened.release()
            raise
        return opened

    def _set_paths(self, folder: Path) -> None:
        self.folder, self.lock = folder, FolderLock(folder)
        self.files, self._records = folder / "files", folder / "records.jsonl"
        self._waiting: list[Record] = []

    @property
    def header(self) -> dict[str, Any]:
        """Fields that the MLflow run is opened with."""
        header: dict[str, Any] = self.state["row"]
        return header

    def save_state(self) -> None:
        """Write run.json."""
        write_atomically(self.folder / "run.json", json.dumps(self.state, indent=1) + "\n")

    def _read_all(self) -> None:
        self.committed = self._cut_torn_line()
        self._known: set[tuple[str, int]] = set()
        self.last: Record = {}
        self.damaged = 0
        for _, record in self._read_lines(0):
            self._known.update(_point_keys(record))
            self.damaged += record is DAMAGED
            self.last = record

    def _cut_torn_line(self) -> int:
        """Cut the last line if it is torn: records are appended, so no other can be."""
        with self._records.open("rb+") as stream:
            size = end = stream.seek(0, os.SEEK_END)
            while end:
                first = max(0, end - CHUNK)
                stream.seek(first)
                if (newline := stream.read(end - first).rfind(b"\n")) >= 0:
                    end = first + newline + 1
                    break
                end = first
            if end < size:
                stream.truncate(end)
        return end

    @property
    def unsent(self) -> int:
        """Committed records that are not confirmed; 0 if records.jsonl was removed."""
        return _count_lines(self._records, self.state["sent"], self.committed)

    def read(self, offset: int, limit: int) -> list[tuple[int, Record]]:
        """Read committed records from a byte offset on, each with the offset behind it."""
        return [entry for _, entry in zip(range(limit), self._read_lines(offset), strict=False)]

    def _read_lines(self, offset: int) -> Iterator[tuple[int, Record]]:
        with self._records.open("rb") as stream:
            stream.seek(offset)
            while offset < self.committed:
                line = stream.readline()
                if not line.endswith(b"\n"):  # the file was removed or cut meanwhile
                    break
                offset += len(line)
                yield offset, _parse_record(line)

    def add(self, kind: str, **fields: Any) -> None:
        """Keep a record in memory, with the current time."""
        record = {"kind": kind, "time": now_ms(), **fields}
        if kind == "metrics":
            step = fields["step"]
            values = {k: v for k, v in fields["values"].items() if not self.has_point(k, step)}
            record["values"] = values
            if not values:
                return
        self._waiting.append(record)

    def has_point(self, key: str, step: int) -> bool:
        """Whether an earlier process committed a metric or image of this key at this step."""
        return (key, step) in self._known

    def copy_file(self, file: Path, name: str) -> str:
        """Copy a file into the folder; returns its path relative to `files`."""
        target = self.files / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(target.name + ".new")
        shutil.copyfile(file, draft)
        draft.replace(target)
        return name

    def prepare(self, step: int) -> None:
        """Write uncommitted records down, for a process that resumes from `step` to commit."""
        write_atomically(self.folder / _name_prepared(step), self._waiting_lines())

    def _waiting_lines(self) -> bytes:
        return "".join(json.dumps(record) + "\n" for record in self._waiting).encode()

    def _commit_prepared(self, resumed_from: int | None) -> None:
        """Commit the records prepared for the checkpoint resumed from; drop all other ones."""
        for path in sorted(self.folder.glob("prepared-*.jsonl")):
            lines = path.read_bytes()
            if path.name == _name_prepared(resumed_from) and not self._ends_with(lines):
                self._append(lines)
                self._read_all()
            path.unlink()

    def _ends_with(self, lines: bytes) -> bool:
        with self._records.open("rb") as stream:
            stream.seek(max(0, self.committed - len(lines)))
            return stream.read() == lines

    def commit(self) -> None:
        """Make added records durable (fsync). On OSError they stay in memory for the next call."""
        if lines := self._waiting_lines():
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
        """Forget records that were not committed."""
        self._waiting.clear()

    def release(self) -> None:
        """Release the lock; nothing is added or sent afterwards."""
        self.lock.release()

    def remove(self) -> None:
        """Remove the folder, unless another process has it by now."""
        try:
            self.lock.take()
        except (BusyError, FileNotFoundError):
            return
        self.lock.remove_folder()


def _records_beside(folder: Path) -> Iterator[Record]:
    """Records in the other folders of the same run, which may be in use."""
    stem = re.sub(f"{SUFFIX}$", "", folder.name)
    for name in {stem, folder.name}:
        for pattern in (name, f"{name}{SUFFIX}"):
            for file in folder.parent.glob(f"{pattern}/records.jsonl"):
                if file.parent != folder:
                    with suppress(FileNotFoundError), file.open("rb") as stream:  # sent, removed
                        yield from map(_parse_record, stream)


def _copy_prepared(folder: Path, beside: Path, name: str) -> None:
    """Copy records prepared for a checkpoint, with their files; nothing if there are none."""
    if not (folder / name).is_file():
        return
    lines = (folder / name).read_bytes()
    for record in map(_parse_record, lines.splitlines(keepends=True)):
        for file in record_files(record):
            if (folder / "files" / file).is_file():
                (beside / "files" / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / "files" / file, beside / "files" / file)
    write_atomically(beside / name, lines)
