"""The local side of tracking: records on disk first; knows nothing of who receives them."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan.durable import write_atomically

Record = dict[str, Any]


def milliseconds() -> int:
    return int(time.time() * 1000)


class Spool:
    """A folder: records.jsonl (append-only), files/ (copies to upload), run.json (row, progress).

    Records wait in memory until `commit`. Metrics and images that an earlier process committed
    are not taken a second time, so that a repeated stretch of training leaves no double points.
    """

    def __init__(self, folder: Path, row: Mapping[str, Any], reached: int | None = None) -> None:
        """Open or create `folder`; an existing row wins over `row`.

        What an earlier process prepared for step `reached` is committed. Raises OSError or
        GanError where the disk does not take it.
        """
        self.folder = folder
        self.files = folder / "files"
        self._records = folder / "records.jsonl"
        self._waiting: list[Record] = []
        self.files.mkdir(parents=True, exist_ok=True)
        self._records.touch()
        self.state = self._read_state()
        self.continued = bool(self.state)
        if not self.state:
            self.state = {"row": {**row, "id": uuid.uuid4().hex}, "sent": 0}
            self.save()
        self.committed = self._cut_torn_line()
        self._settle(reached)
        self._known = self._points()

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def save(self) -> None:
        write_atomically(self.folder / "run.json", json.dumps(self.state, indent=1) + "\n")

    def _cut_torn_line(self) -> int:
        whole = self._records.read_bytes().rfind(b"\n") + 1
        os.truncate(self._records, whole)
        return whole

    def _points(self) -> set[tuple[str, int]]:
        return {point for _, record in self.read(0) for point in _points_of(record)}

    @property
    def unsent(self) -> int:
        """Committed records that the receiver has not confirmed."""
        return len(self.read(self.state["sent"]))

    def read(self, offset: int, limit: int | None = None) -> list[tuple[int, Record]]:
        """Committed records from a byte offset on, each with the offset behind it."""
        found: list[tuple[int, Record]] = []
        with self._records.open("rb") as stream:
            stream.seek(offset)
            while offset < self.committed and (limit is None or len(found) < limit):
                line = stream.readline()
                if not line.endswith(b"\n"):  # somebody took the file away or cut it
                    break
                offset += len(line)
                found.append((offset, json.loads(line)))
        return found

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

    def _prepared(self, step: int | str) -> Path:
        return self.folder / f"prepared-{step}.jsonl"

    def _lines(self) -> bytes:
        return "".join(json.dumps(record) + "\n" for record in self._waiting).encode()

    def _settle(self, reached: int | None) -> None:
        """Commit what was prepared for the checkpoint that was reached; forget all else."""
        for path in sorted(self.folder.glob("prepared-*.jsonl")):
            lines = path.read_bytes()
            if path == self._prepared(str(reached)) and not self._records.read_bytes().endswith(
                lines
            ):
                self._append(lines)
            path.unlink()

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


def _points_of(record: Record) -> list[tuple[str, int]]:
    if record["kind"] == "metrics":
        return [(key, record["step"]) for key in record["values"]]
    return [(record["key"], record["step"])] if record["kind"] == "image" else []
