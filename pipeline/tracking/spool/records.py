"""What a spool's files say, read from outside: also while a process uses it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]

DAMAGED: Record = {"kind": "damaged"}
"""What stands for a line that is no record."""

COUNTED = 1 << 20  # bytes


def state_of(folder: Path) -> dict[str, Any]:
    """run.json: the row, and how far it is sent; {} if it is missing or damaged."""
    try:
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(state, dict) and isinstance(state.get("row"), dict)
    return state if whole and isinstance(state.get("sent"), int) else {}


def row_of(folder: Path) -> dict[str, Any]:
    """What the row is opened by; {} if that is unknown."""
    row: dict[str, Any] = state_of(folder).get("row", {})
    return row


def unsent_in(folder: Path) -> int:
    """Records that are not confirmed; all of them where the row is unknown."""
    records = folder / "records.jsonl"
    if not records.is_file():
        return 0
    return count(records, state_of(folder).get("sent", 0), records.stat().st_size)


def record_of(line: bytes) -> Record:
    """A line of records.jsonl; DAMAGED if it is none."""
    try:
        record = json.loads(line)
        points_of(record)
        whole = isinstance(record["time"], int)
    except (ValueError, KeyError, TypeError, AttributeError):
        return DAMAGED
    return record if whole else DAMAGED


def points_of(record: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Keys and steps that no process has to record again."""
    if record["kind"] == "metrics":
        return [(key, record["step"]) for key in record["values"]]
    return [(record["key"], record["step"])] if record["kind"] == "image" else []


def files_of(record: Mapping[str, Any]) -> list[str]:
    """Paths of a record's files, below the spool's `files`."""
    return [*record.get("files", ()), *([record["file"]] if "file" in record else ())]


def count(file: Path, start: int, end: int) -> int:
    """Lines between two offsets, counted and not read: there may be a million; 0 if none."""
    if start >= end or not file.is_file():
        return 0
    found = 0
    with file.open("rb") as stream:
        stream.seek(start)
        while start < end and (part := stream.read(min(COUNTED, end - start))):
            found += part.count(b"\n")
            start += len(part)
    return found
