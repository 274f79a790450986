"""One row of manifest.jsonl: what became of one image URL, and where the picture is from."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Status = Literal["ok", "bad", "gone", "blocked", "too_large", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Row:
    """An image URL and its fate; the last five fields are set only where status is ok."""

    page: str
    url: str
    tags: tuple[str, ...]
    rating: str
    licence: str
    status: Status
    reason: str = ""
    sha256: str = ""
    bytes: int = 0
    format: str = ""
    width: int = 0
    height: int = 0

    def to_json(self) -> str:
        """One line without its end; equal rows give equal text."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(line: str) -> "Row":
        """The inverse of to_json; ValueError where the line is no such row."""
        return Row.from_dict(json.loads(line))

    @staticmethod
    def from_dict(values: Any) -> "Row":
        """A row from its parsed JSON object; ValueError where it is none."""
        if not isinstance(values, dict) or set(values) != _NAMES:
            raise ValueError("not a manifest row")
        if values["status"] not in STATUSES:
            raise ValueError(f"unknown status {values['status']!r}")
        return Row(**{**values, "tags": tuple(values["tags"])})


_NAMES = {field.name for field in fields(Row)}


def count_by_status(rows: list[Row]) -> dict[str, int]:
    """How many rows have which status, every status named, in a fixed order."""
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for row in rows:
        counts[row.status] += 1
    return counts
