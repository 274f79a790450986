"""Source `--from-manifest FILE`: exactly the images that another person's manifest names.

A manifest may be passed on where the pictures themselves may not. Who has it fetches them from
where they were published, and keeps only files that are the same, byte for byte.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.crawl.http.engine import Manners
from pipeline.crawl.http.image_list import fetch_images, say_left_out
from pipeline.crawl.image_check import Listed
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import GrowingSource
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.dataset.manifest import STATUSES, ManifestEntry

WEB = re.compile("https?://", re.IGNORECASE)
DRAWN = "gallery:"
MARKS = {"sha256": "", "bytes": 0, "format": "", "width": 0, "height": 0}
"""What a row without a picture says of the picture."""

KINDS = {each.name: int if each.default == 0 else str for each in fields(ManifestEntry)} | {
    "tags": list
}
"""The JSON type of each field of a row."""

EMPTY: dict[str, Any] = {
    each.name: "" for each in fields(ManifestEntry) if each.default is MISSING
}
"""The fields that an older manifest may lack."""


@dataclass(frozen=True)
class Survey:
    """What a manifest holds: its sha256, how many addresses, and how many of them to ask for."""

    sha256: str
    rows: int
    web: int
    drawn: int


@dataclass(frozen=True)
class FromManifest(GrowingSource):
    """The images of the manifest at `path`, each with the hash that stands there.

    Rows without a picture are taken over, so that where every file is still the same, so is the
    manifest. An address that comes again is left out.
    """

    path: Path
    manners: Manners

    @property
    def identity(self) -> dict[str, Any]:
        sha256 = self._survey.sha256
        return {"source": f"manifest:{sha256[:12]}", "sha256": sha256}

    @property
    def total(self) -> int:
        return self._survey.rows

    def fetch(self, sink: Sink) -> None:
        self._refuse_unfetchable()
        left_out: Counter[str] = Counter()
        for position, row in self._rows(left_out):
            if row.status != "ok" and not _is_taken_over(row, sink):
                sink.add(_listed(position, row), row)
        wanted = (_listed(place, row) for place, row in self._rows() if row.status == "ok")
        fetch_images(wanted, sink, self.manners)
        say_left_out(left_out)

    def _refuse_unfetchable(self) -> None:
        if self._survey.web:
            return
        if self._survey.drawn:
            drawn = "its pictures are drawn, not fetched"
            raise GanError(f"{self.path}: {drawn}: `gan scrape --source embedded` draws them")
        raise GanError(f"{self.path}: names no picture with an http or https address")

    @cached_property
    def _survey(self) -> Survey:
        """Read the whole file once; GanError names a line that is wrong."""
        rows = web = drawn = 0
        try:
            with self.path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            for _, row in self._rows():
                rows += 1
                web += row.status == "ok" and bool(WEB.match(row.url))
                drawn += row.status == "ok" and row.url.startswith(DRAWN)
        except OSError as error:
            raise GanError(f"{self.path}: cannot be read: {error.strerror}") from None
        return Survey(sha256, rows, web, drawn)

    def _rows(self, left_out: Counter[str] | None = None) -> Iterator[tuple[int, ManifestEntry]]:
        seen: set[bytes] = set()
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = parse_row(line)
                except ValueError as error:
                    raise GanError(f"{self.path}:{number}: {error}") from None
                if (key := url_key(row.url)) not in seen:
                    seen.add(key)
                    yield number, row
                elif left_out is not None:
                    left_out["addresses named again"] += 1


def parse_row(line: bytes) -> ManifestEntry:
    """A manifest's row; ValueError where it is none.

    Stricter than a reader of one's own manifest, for a stranger may have written it: every type is
    checked. More lenient too: an older one may lack fields.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON") from None
    if not isinstance(values, dict) or not {"url", "status"} <= values.keys():
        raise ValueError("not a manifest row: it must have url and status")
    for name, value in values.items():
        if name not in KINDS:
            raise ValueError(f"unknown field {name!r}; a newer version may know it")
        if type(value) is not KINDS[name]:
            raise ValueError(f"{name} = {value!r}: must be a {KINDS[name].__name__}")
    if not all(isinstance(tag, str) for tag in values.get("tags", ())):
        raise ValueError("tags must be texts")
    row = ManifestEntry(**{**EMPTY, **values, "tags": tuple(values.get("tags", ()))})
    _check(row)
    return row


def _check(row: ManifestEntry) -> None:
    if row.status not in STATUSES:
        raise ValueError(f"status = {row.status!r}: must be one of {', '.join(STATUSES)}")
    if row.status == "ok" and not re.fullmatch("[0-9a-f]{64}", row.sha256):
        raise ValueError(f"sha256 = {row.sha256!r}: must be 64 hexadecimal digits")
    if row.status != "ok" and MARKS.items() - asdict(row).items():
        raise ValueError(f"status {row.status}, but marks of a picture")
    # It is shown in terminals, where control characters are commands.
    if not row.reason.isprintable():
        raise ValueError("reason holds a control character")


def _listed(position: int, row: ManifestEntry) -> Listed:
    return Listed(
        position=position,
        page=row.page,
        url=row.url,
        tags=row.tags,
        rating=row.rating,
        source=row.source,
        licence=row.licence,
        sha256=row.sha256,
    )


def _is_taken_over(row: ManifestEntry, sink: Sink) -> bool:
    """Failed rows are never settled, but these weren't tried here: once is enough."""
    journal = sink.journal
    known = journal.known.has_entry(row.url) or journal.row_of(row.url) == row
    return sink.is_done(_listed(0, row)) or known
