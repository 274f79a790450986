"""The crawl journal: entries and image bytes of an unfinished crawl, on disk.

Both files only grow. An entry is written after its bytes, so after a kill at any moment a torn
last line and the bytes that belong to it are cut off, and everything before them stands. Every few
seconds both files are synced to disk; what a power cut takes in spite of that is noticed by its
hash when it is packed. In memory an image takes some 200 bytes.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl, is_final, url_key
from pipeline.dataset.manifest import ManifestEntry

JOURNAL = "journal.jsonl"
IMAGES = "images.bin"
BOOKMARK = "bookmark"
SYNC_EVERY_S = 3.0
SYNCED = b'{"synced":true}\n'
"""A line that older versions wrote after each sync."""


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
        # by address: position, and offset of its line, negative for an entry that isn't final
        self._positions: dict[bytes, tuple[int, int]] = {}
        self._image_offsets: dict[bytes, int] = {}  # by sha256
        self._synced_at = time.monotonic()
        if self._read_identity() == identity:
            self._recover()
        else:
            self._lines.truncate(0)
            self._images.truncate(0)
            (folder / BOOKMARK).unlink(missing_ok=True)
            self._append({"identity": identity})

    def __len__(self) -> int:
        return len(self._positions)

    def __exit__(self, *_: object) -> None:
        self._images.close()
        self._lines.close()

    def records(self) -> Iterator[JournalRecord]:
        """All records in the source's order; the address decides between equal positions."""
        order = sorted(
            (position, key, abs(line)) for key, (position, line) in self._positions.items()
        )
        return (self._read_record(offset) for _, _, offset in order)

    def entry_of(self, url: str) -> ManifestEntry | None:
        """The entry of an address, if the journal has one."""
        found = self._positions.get(url_key(url))
        return None if found is None else self._read_record(abs(found[1])).entry

    def is_done(self, url: str) -> bool:
        """True where the address has its final entry."""
        found = self._positions.get(url_key(url))
        return found is not None and found[1] > 0

    def add(self, position: int, entry: ManifestEntry, data: bytes = b"") -> None:
        """Keep an entry and, if its status is ok, the image; equal bytes are kept once."""
        offset = -1
        if entry.sha256 and not self.earlier.has_content(entry.sha256):
            offset = self._image_offsets.get(bytes.fromhex(entry.sha256), -1)
            if offset < 0 or not self._holds(data, offset):
                offset = self._images.seek(0, os.SEEK_END)
                self._images.write(data)
                self._images.flush()
        line = self._append({"position": position, "offset": offset, "row": entry.to_dict()})
        self._remember(line, JournalRecord(position, entry, offset))
        if time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            os.fsync(self._images.fileno())
            os.fsync(self._lines.fileno())
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

    def _read_identity(self) -> Any:
        """The identity of the source that began this journal; None where there is none."""
        self._lines.seek(0)
        try:
            return _load(self._lines.readline())["identity"]
        except (ValueError, KeyError, TypeError):
            return None

    def _holds(self, data: bytes, offset: int) -> bool:
        """False for bytes that a power cut or the disk damaged."""
        self._images.seek(offset)
        return self._images.read(len(data)) == data

    def _append(self, value: dict[str, Any]) -> int:
        """Write a line; returns its offset."""
        offset = self._lines.seek(0, os.SEEK_END)
        self._lines.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._lines.flush()
        return offset

    def _remember(self, line_offset: int, record: JournalRecord) -> None:
        signed = line_offset if is_final(record.entry) else -line_offset
        self._positions[url_key(record.entry.url)] = (record.position, signed)
        if record.offset >= 0:
            self._image_offsets[bytes.fromhex(record.entry.sha256)] = record.offset

    def _read_record(self, offset: int) -> JournalRecord:
        self._lines.seek(offset)
        return _parse(self._lines.readline())

    def _recover(self) -> None:
        """Read the journal up to its first torn line; cut off what follows, in both files."""
        self._lines.seek(0)
        lines_end = len(self._lines.readline())
        size, images_end = self._images.seek(0, os.SEEK_END), 0
        for line in self._lines:
            if line != SYNCED:
                try:
                    record = _parse(line)
                except (ValueError, KeyError, TypeError):
                    break
                end = record.offset + record.entry.bytes if record.offset >= 0 else 0
                if end > size:
                    break
                images_end = max(images_end, end)
                # Bytes that only a removed earlier crawl had are fetched again.
                sha256 = record.entry.sha256
                if record.offset >= 0 or not sha256 or self.earlier.has_content(sha256):
                    self._remember(lines_end, record)
            lines_end += len(line)
        self._lines.truncate(lines_end)
        self._images.truncate(images_end)


def _parse(line: bytes) -> JournalRecord:
    value = _load(line)
    return JournalRecord(value["position"], ManifestEntry.from_dict(value["row"]), value["offset"])


def _load(line: bytes) -> Any:
    """The value of a whole line; ValueError for a torn one."""
    if not line.endswith(b"\n"):
        raise ValueError("a torn line")
    return json.loads(line)
