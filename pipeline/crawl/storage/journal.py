"""The unfinished dataset on disk: a journal of rows and a spool of image bytes.

Both files only grow. A row is written after its bytes, so after a kill at any moment a torn last
line and the bytes that belong to it are cut off, and everything before them stands. Every few
seconds both are brought to the disk and marked so; after a power cut whatever came behind the last
mark is believed only where its hash still fits. In memory an image costs some 200 bytes.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl, url_key
from pipeline.dataset.manifest import ManifestEntry

JOURNAL = "journal.jsonl"
SPOOL = "images.bin"
BOOKMARK = "bookmark"
SYNC_EVERY_S = 3.0
MARK = b'{"synced":true}\n'


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished row, its place in the source's order, and where the spool has its bytes.

    `offset` is -1 where there are none, or where the older dataset holds them.
    """

    position: int
    row: ManifestEntry
    offset: int


class Journal:
    """Rows and bytes of one unfinished crawl, held by one process at a time."""

    def __init__(
        self, folder: Path, identity: dict[str, Any], known: EarlierCrawl | None = None
    ) -> None:
        """Open or begin the journal of the crawl `identity`; another crawl's rows are dropped.

        Bytes that `known` holds are not spooled again. Raises GanError while another process
        holds the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.known = known or EarlierCrawl()
        self._lines = (folder / JOURNAL).open("a+b")
        self._lock()
        self._spool = (folder / SPOOL).open("a+b")
        # address -> position, and place of its line: negative if it failed
        self._places: dict[bytes, tuple[int, int]] = {}
        self._offsets: dict[bytes, int] = {}  # content -> place in the spool
        self._synced = time.monotonic()
        if read_identity(folder) == identity:
            self._recover()
        else:
            self._begin(identity)

    def __len__(self) -> int:
        return len(self._places)

    def entries(self) -> Iterator[Entry]:
        """Every row so far, in the source's order; the address decides between equal positions."""
        order = sorted((position, key, abs(at)) for key, (position, at) in self._places.items())
        with (self.folder / JOURNAL).open("rb") as lines:
            for _, _, place in order:
                yield self._entry(lines, place)

    def row_of(self, url: str) -> ManifestEntry | None:
        """The row of an address, if it has one here."""
        found = self._places.get(url_key(url))
        if found is None:
            return None
        with (self.folder / JOURNAL).open("rb") as lines:
            return self._entry(lines, abs(found[1])).row

    def is_done(self, url: str) -> bool:
        """True where the address has its final row; a failed one is to be tried again."""
        found = self._places.get(url_key(url))
        return found is not None and found[1] > 0

    def add(self, position: int, row: ManifestEntry, data: bytes = b"") -> None:
        """Keep a row and, if its status is ok, the image; the same bytes are kept once."""
        offset = -1
        if row.sha256 and not self.known.has_content(row.sha256):
            offset = self._offsets.get(bytes.fromhex(row.sha256), -1)
            if offset < 0:
                offset = self._spool.seek(0, 2)
                self._spool.write(data)
                self._spool.flush()
        place = self._lines.seek(0, 2)
        line = {"position": position, "offset": offset, "row": row.to_dict()}
        self._write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._remember(place, Entry(position, row, offset))
        if time.monotonic() - self._synced >= SYNC_EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Bring all rows and bytes to the disk, bytes first."""
        for stream in (self._spool, self._lines):
            stream.flush()
            os.fsync(stream.fileno())
        self._write(MARK)
        self._synced = time.monotonic()

    def read(self, entry: Entry) -> bytes:
        """The spooled bytes of an entry; ValueError where they are no longer those of its row."""
        self._spool.seek(entry.offset)
        data = self._spool.read(entry.row.bytes)
        if hashlib.sha256(data).hexdigest() != entry.row.sha256:
            raise ValueError(entry.row.url)
        return data

    @property
    def bookmark(self) -> str:
        """Where the source's listing began, if the source noted it; empty at first."""
        path = self.folder / BOOKMARK
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @bookmark.setter
    def bookmark(self, text: str) -> None:
        write_atomically(self.folder / BOOKMARK, text)

    def close(self) -> None:
        self._spool.close()
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lines.close()
            raise GanError(f"{self.folder}: another `gan scrape` is at work here") from None

    def _begin(self, identity: dict[str, Any]) -> None:
        self._lines.truncate(0)
        self._spool.truncate(0)
        (self.folder / BOOKMARK).unlink(missing_ok=True)
        self._write(json.dumps({"identity": identity}).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        self._lines.write(line)
        self._lines.flush()

    def _remember(self, place: int, entry: Entry) -> None:
        signed = -place if entry.row.status == "failed" else place
        self._places[url_key(entry.row.url)] = (entry.position, signed)
        if entry.offset >= 0:
            self._offsets[bytes.fromhex(entry.row.sha256)] = entry.offset

    def _entry(self, lines: IO[bytes], place: int) -> Entry:
        lines.seek(place)
        entry = _parse(lines.readline())
        if entry is None:
            raise GanError(f"{self.folder / JOURNAL}: changed by another hand; run again")
        return entry

    def _recover(self) -> None:
        """Read the journal up to its first torn line and cut both files to what it vouches for."""
        synced = _last_mark(self.folder / JOURNAL)
        self._lines.seek(0)
        whole = len(self._lines.readline())
        spooled, vouched = self._spool.seek(0, 2), 0
        for line in self._lines:
            if line != MARK:
                entry = _parse(line)
                # A power cut can lose bytes whose row survived: from there on nothing counts.
                if entry is None or not self._has_bytes(entry, spooled, whole >= synced):
                    break
                if entry.offset >= 0:
                    vouched = max(vouched, entry.offset + entry.row.bytes)
                # Bytes that an older dataset held are fetched again if it was taken away since.
                sha256 = entry.row.sha256
                if entry.offset >= 0 or not sha256 or self.known.has_content(sha256):
                    self._remember(whole, entry)
            whole += len(line)
        self._lines.truncate(whole)
        self._spool.truncate(vouched)

    def _has_bytes(self, entry: Entry, spooled: int, doubtful: bool) -> bool:
        if entry.offset < 0:
            return True
        if entry.offset + entry.row.bytes > spooled:
            return False
        try:
            return not doubtful or bool(self.read(entry))
        except ValueError:
            return False


def read_identity(folder: Path) -> Any:
    """What the unfinished crawl in `folder` is of, or None where there is none."""
    try:
        with (folder / JOURNAL).open("rb") as lines:
            return _header(lines)
    except FileNotFoundError:
        return None


def _header(lines: IO[bytes]) -> Any:
    line = lines.readline()
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return value.get("identity") if isinstance(value, dict) else None


def _last_mark(path: Path) -> int:
    """Where the last line begins that says that all before it is on the disk, or 0."""
    place = found = 0
    with path.open("rb") as lines:
        for line in lines:
            found = place if line == MARK else found
            place += len(line)
    return found


def _parse(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
        return Entry(value["position"], ManifestEntry.from_dict(value["row"]), value["offset"])
    except (ValueError, KeyError, TypeError):
        return None
