"""One file of an archive as the walks see it, and the caps that hold for all of them together."""

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
"""Below this size nothing is called a bomb, however well it packs."""

Refusal = tuple[Status, str]
"""Status and reason of a member that brings no picture; reasons name no path."""

SPECIAL: Refusal = ("blocked", "a link or special file")
DAMAGED: Refusal = ("bad", "damaged in its archive")
DAMAGED_ARCHIVE: Refusal = ("bad", "a damaged archive")

_DRIVE = re.compile(r"[/\\]|[A-Za-z]:")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UnreadableError(Exception):
    """A member that can't be had; carries its row's status and reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal[1])
        self.refusal = refusal


class DamagedError(GanError):
    """An archive that is none, torn or damaged; beside others it costs its own pictures alone."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file: its name with forward slashes, its size, and why it must not be read, if so.

    `read(most)` gives at most `most` + 1 bytes, so that a size that lied is noticed, and raises
    UnreadableError; it holds only until the walk goes on.
    """

    name: str
    size: int
    refusal: Refusal | None
    read: Callable[[int], bytes]


class Tally:
    """Counts the entries and unpacked bytes of one walk, nested archives included."""

    def __init__(self, path: Path, limits: ScrapeParams) -> None:
        self.limits = limits
        self._path = path
        self._entries = self._bytes = 0

    def add(self, size: int) -> None:
        """Count an entry; GanError where that is one, or a byte, too many."""
        self.require_room(1)
        self._entries += 1
        self._bytes += size
        if self._bytes > self.limits.archive_bytes:
            self._stop("bytes unpacked", self.limits.archive_bytes, "archive_bytes")

    def require_room(self, entries: int) -> None:
        """GanError where so many more entries are too many."""
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
    """Why a name could point outside the archive: absolute, a drive, or one with `..`."""
    if _DRIVE.match(name) or ".." in re.split(r"[/\\]", name):
        return "blocked", "unsafe name"
    return None


def explain(error: Exception) -> Refusal:
    """What a failed read means: the system's fault may pass, a damaged archive stays damaged."""
    if isinstance(error, OSError) and error.errno is not None:
        # A link that took the file's place since it was listed.
        if error.errno == errno.ELOOP:
            return SPECIAL
        return "failed", f"cannot be read: {os.strerror(error.errno)}"
    return DAMAGED


def explain_archive(path: Path, kinds: str, error: Exception) -> GanError:
    """The same of a whole archive; only a damaged one is a DamagedError."""
    if isinstance(error, OSError) and error.errno is not None:
        return GanError(f"{path}: cannot be read: {os.strerror(error.errno)}")
    text = " ".join(str(error).split()) or type(error).__name__
    return DamagedError(f"{path}: no {kinds}, or damaged: {text}")


def printable(text: str) -> str:
    """Text that any file and terminal can hold: control characters and bytes in no encoding are
    written as escapes."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
