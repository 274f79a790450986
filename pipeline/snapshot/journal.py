"""The unfinished snapshot on disk: a journal of rows and a spool of image bytes.

Both files only grow. A row is written after its bytes, so after a kill at any moment a torn last
line and the bytes that belong to it are cut off, and everything before them stands.
"""

import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from gan.errors import GanError
from pipeline.snapshot.durable import write_text
from pipeline.snapshot.manifest import Row

JOURNAL = "journal.jsonl"
SPOOL = "images.bin"
BOOKMARK = "bookmark"


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished row, its place in the source's order, and where the spool has its bytes."""

    position: int
    row: Row
    offset: int


class Journal:
    """Rows and bytes of one unfinished crawl, held by one process at a time."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Open or begin the journal of the crawl `identity`; another crawl's rows are dropped.

        Raises GanError while another process holds it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lines = (folder / JOURNAL).open("a+b")
        self._lock()
        self._spool = (folder / SPOOL).open("a+b")
        self._entries: dict[str, Entry] = {}
        self._offsets: dict[str, int] = {}
        if read_identity(folder) == identity:
            self._recover()
        else:
            self._begin(identity)

    @property
    def entries(self) -> list[Entry]:
        """Every row so far, in the source's order."""
        return sorted(self._entries.values(), key=lambda entry: (entry.position, entry.row.url))

    def is_done(self, url: str) -> bool:
        """True where the URL has its final row; a failed one is to be tried again."""
        entry = self._entries.get(url)
        return entry is not None and entry.row.status != "failed"

    def add(self, position: int, row: Row, data: bytes = b"") -> None:
        """Keep a row and, if its status is ok, the image; the same bytes are kept once."""
        offset = self._offsets.get(row.sha256, -1) if row.sha256 else -1
        if row.sha256 and offset < 0:
            offset = self._spool.seek(0, 2)
            self._spool.write(data)
            self._spool.flush()
        entry = Entry(position, row, offset)
        self._remember(entry)
        self._write({"position": position, "offset": offset, "row": asdict(row)})

    def read(self, entry: Entry) -> bytes:
        """The bytes of an entry whose status is ok."""
        self._spool.seek(entry.offset)
        return self._spool.read(entry.row.bytes)

    @property
    def bookmark(self) -> str:
        """Where the source's listing began, if the source noted it; empty at first."""
        path = self.folder / BOOKMARK
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @bookmark.setter
    def bookmark(self, text: str) -> None:
        write_text(self.folder / BOOKMARK, text)

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
        self._write({"identity": identity})

    def _write(self, value: dict[str, Any]) -> None:
        self._lines.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._lines.flush()

    def _remember(self, entry: Entry) -> None:
        self._entries[entry.row.url] = entry
        if entry.row.sha256:
            self._offsets[entry.row.sha256] = entry.offset

    def _recover(self) -> None:
        """Read the journal up to its first torn line and cut both files to what it vouches for."""
        self._lines.seek(0)
        whole = len(self._lines.readline())
        spooled, vouched = self._spool.seek(0, 2), 0
        for line in self._lines:
            entry = _parse(line)
            # A power cut can lose bytes whose row survived: from there on nothing counts.
            if entry is None or entry.offset + entry.row.bytes > spooled:
                break
            whole += len(line)
            vouched = max(vouched, entry.offset + entry.row.bytes)
            self._remember(entry)
        self._lines.truncate(whole)
        self._spool.truncate(vouched)


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


def _parse(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
        return Entry(value["position"], Row.from_dict(value["row"]), value["offset"])
    except (ValueError, KeyError, TypeError):
        return None
