"""Source `archive:PATH`: pictures in a folder, tar, compressed tar or zip on this machine."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from gan.errors import GanError
from pipeline.crawl.members import Member, members_of
from pipeline.crawl.pictures import MAX_BYTES, Listed, describe_limit, judge
from pipeline.crawl.sink import Sink

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"})


@dataclass(frozen=True)
class Archive:
    """Every picture file below `path`, by name; `limit` keeps the first ones."""

    path: Path
    licence: str
    limit: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": f"archive:{self.path.resolve().name}",
            "sha256": self._listing[1],
            "limit": self.limit,
            "licence": self.licence,
        }

    @property
    def total(self) -> int:
        return len(self._positions)

    def describe(self, count: int) -> dict[str, Any]:
        return {**self.identity, "count": count}

    def fetch(self, sink: Sink) -> None:
        for member in members_of(self.path):
            if member.name not in self._positions:
                continue
            url = f"archive:{member.name}"
            listed = Listed(self._positions[member.name], url, url, licence=self.licence)
            if not sink.is_done(listed):
                _deliver(member, listed, sink)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self._listing[0])}

    @cached_property
    def _listing(self) -> tuple[list[str], str]:
        """Names of the chosen members, sorted, and the sha256 of these names and contents."""
        marks: dict[str, str] = {}
        for member in members_of(self.path):
            if _is_picture(member.name):
                marks.setdefault(member.name, _mark(member))
        names = sorted(marks)[: self.limit]
        if not names:
            raise GanError(f"{self.path}: holds no {', '.join(sorted(ENDINGS))} file")
        lines = "".join(f"{marks[name]}  {name!a}\n" for name in names)
        return names, hashlib.sha256(lines.encode()).hexdigest()


def _is_picture(name: str) -> bool:
    """By its ending; macOS puts a `._` twin beside every file of its zips, which is none."""
    path = PurePosixPath(name)
    return path.suffix.lower() in ENDINGS and not path.name.startswith("._")


def _mark(member: Member) -> str:
    """What stands for a member's content: its sha256, or why it isn't read."""
    if member.problem or member.size > MAX_BYTES:
        return member.problem or str(member.size)
    return hashlib.sha256(member.read()).hexdigest()


def _deliver(member: Member, listed: Listed, sink: Sink) -> None:
    if member.problem:
        sink.reject(listed, "blocked", member.problem)
    elif member.size > MAX_BYTES:
        sink.reject(listed, "too_large", describe_limit())
    else:
        data = member.read()
        sink.add(listed, judge(listed, data), data)
