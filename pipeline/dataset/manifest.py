"""An entry of manifest.jsonl: an image address, its origin, and the outcome of fetching it."""

import json
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Status = Literal["ok", "bad", "gone", "blocked", "too_large", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """An image address and its outcome; the last five fields are set only where status is ok.

    `source` is where the site says that the picture comes from, such as an artist's page.
    """

    page: str
    url: str
    tags: tuple[str, ...]
    rating: str
    source: str
    licence: str
    status: Status
    reason: str = ""
    sha256: str = ""
    bytes: int = 0
    format: str = ""
    width: int = 0
    height: int = 0

    def to_json(self) -> str:
        """One line without its end; equal entries give equal text."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """All fields by name; dataclasses.asdict copies deeply, which takes ten times as long."""
        return {name: getattr(self, name) for name in _ORDER}

    @staticmethod
    def from_dict(values: Any) -> "ManifestEntry":
        """An entry from its parsed JSON object; ValueError where it is none."""
        if not isinstance(values, dict) or set(values) != _NAMES:
            raise ValueError("not a manifest entry")
        if values["status"] not in STATUSES:
            raise ValueError(f"unknown status {values['status']!r}")
        return ManifestEntry(**{**values, "tags": tuple(values["tags"])})


_ORDER = [field.name for field in fields(ManifestEntry)]
_NAMES = set(_ORDER)
