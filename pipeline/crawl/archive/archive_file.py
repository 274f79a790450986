"""A file of an archive (a folder, tar or zip), and the caps on all files of one together."""

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.dataset.manifest import Status

EXEMPT_BYTES = 2**20
"""A smaller file is no bomb, however well it is compressed."""

Refusal = tuple[Status, str]
"""Status and reason of a file that brings no picture; reasons name no path."""

SPECIAL: Refusal = ("blocked", "a link or special file")
DAMAGED: Refusal = ("bad", "damaged in its archive")
DAMAGED_ARCHIVE: Refusal = ("bad", "a damaged archive")

_DRIVE = re.compile(r"[/\\]|[A-Za-z]:")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UnreadableError(Exception):
    """A file that can't be read; carries status and reason of its manifest entry."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal[1])
        self.refusal = refusal


class DamagedArchiveError(GanError):
    """A torn or damaged archive; in a folder with others only its own pictures are lost."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file: its name with forward slashes, its size, and the refusal to read it, if any.

    `read(most)` returns at most `most` + 1 bytes, so that a file longer than its size says is
    noticed, and raises UnreadableError; call it before the walk takes its next step.
    """

    name: str
    size: int
    refusal: Refusal | None
    read: Callable[[int], bytes]


class ArchiveBudget:
    """The files and unpacked bytes that one walk may still have, nested archives included."""

    def __init__(self, path: Path, limits: ScrapeParams) -> None:
        self.limits = limits
        self._path = path
        self._entries = self._bytes = 0

    def add(self, size: int) -> None:
        """Count a file of `size` bytes; GanError where that is over a cap."""
        self.require_room(1)
        self._entries += 1
        self._bytes += size
        if self._bytes > self.limits.archive_bytes:
            self._stop("bytes unpacked", self.limits.archive_bytes, "archive_bytes")

    def require_room(self, entries: int) -> None:
        """GanError where so many more files are over the cap."""
        if self._entries + entries > self.limits.archive_members:
            self._stop("entries", self.limits.archive_members, "archive_members")

    def _stop(self, what: str, limit: int, parameter: str) -> None:
        raise GanError(
            f"{self._path}: over {limit} {what}; if you trust it, raise scrape.{parameter} in "
            f"params.yaml"
        )


def is_bomb(size: int, packed: int, ratio: float) -> bool:
    """True where `packed` bytes unpack to more than `ratio` times as many."""
    return size >= EXEMPT_BYTES and size > ratio * packed


def check_name(name: str) -> Refusal | None:
    """Refuse a name that could point outside the archive: absolute, a drive, or with `..`."""
    if _DRIVE.match(name) or ".." in re.split(r"[/\\]", name):
        return "blocked", "unsafe name"
    return None


def explain(error: Exception) -> Refusal:
    """The refusal for a failed read: an error of the system may pass, damage stays."""
    if isinstance(error, OSError) and error.errno is not None:
        # A link that took the file's place since it was listed.
        if error.errno == errno.ELOOP:
            return SPECIAL
        return "failed", f"cannot be read: {os.strerror(error.errno)}"
    return DAMAGED


def explain_archive(path: Path, kinds: str, error: Exception) -> GanError:
    """The error for an archive that can't be opened or walked."""
    if isinstance(error, OSError) and error.errno is not None:
        return GanError(f"{path}: cannot be read: {os.strerror(error.errno)}")
    text = " ".join(str(error).split()) or type(error).__name__
    return DamagedArchiveError(f"{path}: no {kinds}, or damaged: {text}")


def printable(text: str) -> str:
    """`text` with escapes for control characters and for bytes in no encoding."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
