"""Run folder: the record of one MLflow run on disk, written before anything is sent.

run.json: header of the run, and how far it is sent; metrics.jsonl: a record a line; files/: copies
to upload. Records are appended by the process that makes them, and count up to the last line of
kind "commit"; nothing behind it is ever sent. A line of kind "checkpoint" ends the records that
belong to a training's checkpoint. run.json is written by the process that holds the lock.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.paths import Paths

Record = dict[str, Any]
Fact = tuple[str, str, int | None]
"""Kind, key and step of a part of a run that is recorded once."""

RECORDS = "metrics.jsonl"
COMMIT = b'{"kind": "commit"}\n'
CHECKPOINT = b'{"kind": "checkpoint", "step": '
DAMAGED: Record = {"kind": "damaged", "time": 0}
"""Stand-in for a line that is not a record."""


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return int(time.time() * 1000)


def runs_folder(paths: Paths) -> Path:
    """Folder of all run folders of this repository."""
    return paths.main_root / "logs" / "runs"


def read_state(folder: Path) -> dict[str, Any]:
    """Read run.json, also while a process uses the folder; {} if it is missing or damaged."""
    try:
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    valid = isinstance(state, dict) and isinstance(state.get("run"), dict)
    return state if valid and isinstance(state.get("sent"), int) else {}


def count_unsent(folder: Path) -> int:
    """Count committed records that are not confirmed; all of them where run.json is missing."""
    lines = _read_committed(folder / RECORDS, read_state(folder).get("sent", 0))
    return lines.count(b"\n") - lines.count(COMMIT) - lines.count(CHECKPOINT)


def _read_committed(records: Path, start: int) -> bytes:
    """Read what is committed behind an offset; nothing if the file is gone."""
    try:
        with records.open("rb") as stream:
            stream.seek(start)
            content = stream.read()
    except FileNotFoundError:
        return b""
    last = content.rfind(COMMIT)
    return content[: last + len(COMMIT)] if last >= 0 else b""


def find_points(record: Record) -> list[Fact]:
    """Metrics and images of a record."""
    if record["kind"] == "metrics":
        return [("metrics", key, record["step"]) for key in record["values"]]
    return [("image", record["key"], record["step"])] if record["kind"] == "image" else []


def _parse(line: bytes) -> Record:
    """Parse a line; DAMAGED if it is not a record."""
    try:
        record = json.loads(line)
        find_points(record)
        valid = line.startswith((COMMIT, CHECKPOINT)) or isinstance(record["time"], int)
    except (ValueError, KeyError, TypeError, AttributeError):
        return DAMAGED
    return record if valid else DAMAGED


def _parse_lines(content: bytes, offset: int) -> Iterator[tuple[int, Record]]:
    """Parse whole lines, each with the offset behind it; the first begins at `offset`."""
    for line in BytesIO(content):
        offset += len(line)
        if line.endswith(b"\n"):
            yield offset, _parse(line)


def make_run_folder(path: Path, header: Mapping[str, Any]) -> "RunFolder":
    """Open or create a run folder; a header that it has already wins over `header`."""
    (path / "files").mkdir(parents=True, exist_ok=True)
    (path / RECORDS).touch()
    if not read_state(path):
        _write_state(path, {"run": {"id": uuid.uuid4().hex, **header}, "sent": 0})
    return RunFolder(path)


def _write_state(path: Path, state: Mapping[str, Any]) -> None:
    write_atomically(path / "run.json", json.dumps(state, indent=1) + "\n")


class RunFolder:
    """An existing run folder; GanError if run.json does not say which run it is of."""

    def __init__(self, path: Path) -> None:
        self.path, self.files, self._records = path, path / "files", path / RECORDS
        self.lock = FileLock(path / "lock", timeout=0, thread_local=False)
        self.opened = False  # whether the store's run was found or made by this process
        self.lacking = 0  # files that were deleted here once an earlier store had them
        self.state = self._read_state()

    def _read_state(self) -> dict[str, Any]:
        if state := read_state(self.path):
            return state
        file = self.path / "run.json"
        raise GanError(
            f"{file}: missing or damaged, so its MLflow run is unknown; `gan clean --remove "
            "--unsent` removes it"
        )

    @property
    def header(self) -> dict[str, Any]:
        """Fields that the MLflow run is opened with."""
        header: dict[str, Any] = self.state["run"]
        return header

    # recording

    def resume(self, step: int | None) -> tuple[set[Fact], bool]:
        """Cut off records that never counted; returns the others' points, and if there are any.

        Those of the checkpoint at `step`, from which the training resumes, count.
        """
        keep, points, pending = 0, set[Fact](), list[Record]()
        for end, record in _parse_lines(self._records.read_bytes(), 0):
            pending.append(record)
            prepared = record["kind"] == "checkpoint" and record["step"] == step
            if prepared or record["kind"] == "commit":
                points.update(point for each in pending for point in find_points(each))
                keep = end
                pending.clear()
        os.truncate(self._records, keep)
        if keep:
            self.append([])
        return points, bool(keep)

    def append(self, records: Sequence[Record], checkpoint: int | None = None) -> None:
        """Write records durably (fsync) and commit them, or end them with a checkpoint's mark.

        On OSError nothing is written.
        """
        lines = "".join(json.dumps(record) + "\n" for record in records).encode()
        lines += COMMIT if checkpoint is None else CHECKPOINT + b"%d}\n" % checkpoint
        size = self._records.stat().st_size
        try:
            with self._records.open("ab") as stream:
                stream.write(lines)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            os.truncate(self._records, size)  # no half line under the next one
            raise

    def cut(self) -> None:
        """Remove records behind the last commit."""
        sent = read_state(self.path).get("sent", 0)
        os.truncate(self._records, sent + len(_read_committed(self._records, sent)))

    # sending

    def take(self) -> bool:
        """Take the lock; False if another process holds it. FileNotFoundError if all is gone."""
        if not (self.path / "run.json").is_file():
            raise FileNotFoundError(self.path)
        if self.lock.is_locked:
            return True
        try:
            self.lock.acquire()
        except Timeout:
            return False
        self.state = self._read_state()  # another process may have sent some meanwhile
        return True

    def set_target(self, target: str, run_id: str) -> None:
        """Save where the records go; all of them count as unsent in another store or run."""
        known = self.state.get("target", "")
        moved = known.partition(":")[0] == target.partition(":")[0]  # a store that was moved
        if self.state.get("run_id") != run_id or not moved:
            self.state["sent"] = 0
        if (known, self.state.get("run_id")) != (target, run_id):
            self.state.update(target=target, run_id=run_id)
            _write_state(self.path, self.state)
        self.opened = True

    def read_unsent(self) -> Iterator[tuple[int, Record]]:
        """Read the records to send, each with the offset behind it."""
        start = self.state["sent"]
        for end, record in _parse_lines(_read_committed(self._records, start), start):
            if record["kind"] not in ("commit", "checkpoint"):
                yield end, record

    def confirm(self, end: int, records: Sequence[Record]) -> None:
        """Save that the store has all records up to an offset, and delete their files."""
        self.state["sent"] = end
        _write_state(self.path, self.state)
        for record in records:
            for name in record.get("files", ()):
                (self.files / name).unlink(missing_ok=True)

    def read_last(self) -> Record:
        """Read the last record that counts; {} if there is none."""
        lines = reversed(_read_committed(self._records, 0).splitlines(keepends=True))
        records = (each for each in lines if not each.startswith((COMMIT, CHECKPOINT)))
        return next(map(_parse, records), {})

    def release(self) -> None:
        """Release the lock; does nothing if it is free."""
        self.lock.release(force=True)

    def remove(self) -> None:
        """Remove the folder, unless another process uses it or it can't be removed.

        It is renamed first, so that no process opens half of it.
        """
        aside = self.path.with_name(f".{self.path.name}.removed")
        with suppress(OSError):
            if self.take():
                self.path.rename(aside)
                shutil.rmtree(aside)
        self.release()
