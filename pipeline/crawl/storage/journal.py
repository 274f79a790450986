"""The crawl journal: entries and image bytes of an unfinished crawl, on disk.

Both files only grow. An entry is written after its bytes, so after a kill at any moment a torn
last line and the bytes that belong to it are cut off, and everything before them stands. Every few
seconds both files are synced to disk, and a line says so; after a power cut whatever follows the
last such line counts only where its hash still fits. In memory an image takes some 200 bytes.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl, url_key
from pipeline.dataset.manifest import ManifestEntry

JOURNAL = "journal.jsonl"
IMAGES = "images.bin"
BOOKMARK = "bookmark"
SYNC_EVERY_S = 3.0
SYNCED = b'{"synced":true}\n'
"""The line of the journal that says: all before it is on disk."""


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """A finished entry, its position in the source's order, and the offset of its image's bytes.

    `offset` is -1 where there are none, or where the earlier crawl has them.
    """

    position: int
    entry: ManifestEntry
    offset: int


class Journal(AbstractContextManager["Journal"]):
    """The journal of one unfinished crawl; the lock of data/ keeps other processes away."""

    def __init__(
        self, folder: Path, identity: dict[str, Any], earlier: EarlierCrawl | None = None
    ) -> None:
        """Open or begin the journal of the crawl `identity`; another crawl's journal is emptied.

        Bytes that `earlier` has are not kept again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.earlier = earlier or EarlierCrawl()
        self._lines = (folder / JOURNAL).open("a+b")
        self._images = (folder / IMAGES).open("a+b")
        # by address: position, and offset of its line, negative for a failed entry
        self._positions: dict[bytes, tuple[int, int]] = {}
        self._image_offsets: dict[bytes, int] = {}  # by sha256
        self._synced_at = time.monotonic()
        if read_identity(folder) == identity:
            self._recover()
        else:
            self._begin(identity)

    def __len__(self) -> int:
        return len(self._positions)

    def records(self) -> Iterator[JournalRecord]:
        """All records in the source's order; the address decides between equal positions."""
        order = sorted(
            (position, key, abs(line)) for key, (position, line) in self._positions.items()
        )
        with (self.folder / JOURNAL).open("rb") as lines:
            for _, _, offset in order:
                yield self._read_record(lines, offset)

    def entry_of(self, url: str) -> ManifestEntry | None:
        """The entry of an address, if the journal has one."""
        found = self._positions.get(url_key(url))
        if found is None:
            return None
        with (self.folder / JOURNAL).open("rb") as lines:
            return self._read_record(lines, abs(found[1])).entry

    def is_done(self, url: str) -> bool:
        """True where the address has its final entry; a failed one is tried again."""
        found = self._positions.get(url_key(url))
        return found is not None and found[1] > 0

    def add(self, position: int, entry: ManifestEntry, data: bytes = b"") -> None:
        """Keep an entry and, if its status is ok, the image; equal bytes are kept once."""
        offset = -1
        if entry.sha256 and not self.earlier.has_content(entry.sha256):
            offset = self._image_offsets.get(bytes.fromhex(entry.sha256), -1)
            if offset < 0:
                offset = self._images.seek(0, 2)
                self._images.write(data)
                self._images.flush()
        line_offset = self._lines.seek(0, 2)
        line = {"position": position, "offset": offset, "row": entry.to_dict()}
        self._write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._remember(line_offset, JournalRecord(position, entry, offset))
        if time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Bring all entries and bytes to the disk, bytes first."""
        for stream in (self._images, self._lines):
            stream.flush()
            os.fsync(stream.fileno())
        self._write(SYNCED)
        self._synced_at = time.monotonic()

    def read_image(self, record: JournalRecord) -> bytes:
        """The image's bytes; ValueError where they no longer have the sha256 of the entry."""
        self._images.seek(record.offset)
        data = self._images.read(record.entry.bytes)
        if hashlib.sha256(data).hexdigest() != record.entry.sha256:
            raise ValueError(record.entry.url)
        return data

    @property
    def bookmark(self) -> str:
        """The source's own note of where its listing began; empty at first."""
        path = self.folder / BOOKMARK
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @bookmark.setter
    def bookmark(self, text: str) -> None:
        write_atomically(self.folder / BOOKMARK, text)

    def __exit__(self, *_: object) -> None:
        self._images.close()
        self._lines.close()

    def _begin(self, identity: dict[str, Any]) -> None:
        self._lines.truncate(0)
        self._images.truncate(0)
        (self.folder / BOOKMARK).unlink(missing_ok=True)
        self._write(json.dumps({"identity": identity}).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        self._lines.write(line)
        self._lines.flush()

    def _remember(self, line_offset: int, record: JournalRecord) -> None:
        signed = -line_offset if record.entry.status == "failed" else line_offset
        self._positions[url_key(record.entry.url)] = (record.position, signed)
        if record.offset >= 0:
            self._image_offsets[bytes.fromhex(record.entry.sha256)] = record.offset

    def _read_record(self, lines: IO[bytes], offset: int) -> JournalRecord:
        lines.seek(offset)
        record = _parse(lines.readline())
        if record is None:
            raise GanError(f"{self.folder / JOURNAL}: changed by another program; run again")
        return record

    def _recover(self) -> None:
        """Read the journal up to its first torn line; cut off what follows, in both files."""
        synced = _find_last_sync(self.folder / JOURNAL)
        self._lines.seek(0)
        valid_lines = len(self._lines.readline())
        images_end, valid_images = self._images.seek(0, 2), 0
        for line in self._lines:
            if line != SYNCED:
                record = _parse(line)
                # A power cut can lose bytes whose entry survived: from there on nothing counts.
                check_hash = valid_lines >= synced
                if record is None or not self._has_image(record, images_end, check_hash):
                    break
                if record.offset >= 0:
                    valid_images = max(valid_images, record.offset + record.entry.bytes)
                # Bytes that only a removed earlier crawl had are fetched again.
                sha256 = record.entry.sha256
                if record.offset >= 0 or not sha256 or self.earlier.has_content(sha256):
                    self._remember(valid_lines, record)
            valid_lines += len(line)
        self._lines.truncate(valid_lines)
        self._images.truncate(valid_images)

    def _has_image(self, record: JournalRecord, images_end: int, check_hash: bool) -> bool:
        if record.offset < 0:
            return True
        if record.offset + record.entry.bytes > images_end:
            return False
        try:
            return not check_hash or bool(self.read_image(record))
        except ValueError:
            return False


def read_identity(folder: Path) -> Any:
    """Identity of the source whose unfinished crawl is in `folder`; None where there is none."""
    try:
        with (folder / JOURNAL).open("rb") as lines:
            return _parse_header(lines.readline())
    except FileNotFoundError:
        return None


def _parse_header(line: bytes) -> Any:
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return value.get("identity") if isinstance(value, dict) else None


def _find_last_sync(path: Path) -> int:
    """Offset of the last line that says that all before it is on disk, or 0."""
    offset = found = 0
    with path.open("rb") as lines:
        for line in lines:
            found = offset if line == SYNCED else found
            offset += len(line)
    return found


def _parse(line: bytes) -> JournalRecord | None:
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
        entry = ManifestEntry.from_dict(value["row"])
        return JournalRecord(value["position"], entry, value["offset"])
    except (ValueError, KeyError, TypeError):
        return None
