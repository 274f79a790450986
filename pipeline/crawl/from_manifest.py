"""Source `--from-manifest FILE`: exactly the images in another person's manifest.

A manifest may be passed on where the pictures themselves may not. With it they are fetched from
where they were published, and only files that are the same, byte for byte, are kept.
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
from gan.params.data import ScrapeParams
from pipeline.crawl.http.engine import CrawlPolicy
from pipeline.crawl.http.image_list import fetch_images, report_left_out
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import GrowingSource
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.dataset.manifest import STATUSES, ManifestEntry

WEB = re.compile("https?://", re.IGNORECASE)
DRAWN = "gallery:"
NO_PICTURE = {"sha256": "", "bytes": 0, "format": "", "width": 0, "height": 0}
"""The picture's fields in an entry without a picture."""

KINDS = {each.name: int if each.default == 0 else str for each in fields(ManifestEntry)} | {
    "tags": list
}
"""The JSON type of each field of an entry."""

EMPTY: dict[str, Any] = {
    each.name: "" for each in fields(ManifestEntry) if each.default is MISSING
}
"""The fields that an older manifest may lack, with their values."""


@dataclass(frozen=True)
class Survey:
    """A manifest's sha256, its entries, and those with a picture on the web or in a gallery."""

    sha256: str
    entries: int
    web: int
    drawn: int


@dataclass(frozen=True)
class FromManifest(GrowingSource):
    """The images of the manifest at `path`, each with the sha256 that it has there.

    Entries without a picture are copied, so that the manifest is the same if every file is. An
    address that comes again is left out.
    """

    path: Path
    policy: CrawlPolicy

    @property
    def identity(self) -> dict[str, Any]:
        sha256 = self._survey.sha256
        return {"source": f"manifest:{sha256[:12]}", "sha256": sha256}

    @property
    def total(self) -> int:
        return self._survey.entries

    def fetch(self, sink: Sink) -> None:
        self._refuse_unfetchable()
        left_out: Counter[str] = Counter()
        for position, entry in self._entries(left_out):
            if entry.status != "ok" and not _is_copied(entry, sink):
                sink.add(_list(position, entry), entry)
        wanted = (
            _list(position, entry) for position, entry in self._entries() if entry.status == "ok"
        )
        fetch_images(wanted, sink, self.policy)
        report_left_out(left_out)

    def _refuse_unfetchable(self) -> None:
        if self._survey.web:
            return
        if self._survey.drawn:
            drawn = "its pictures are of the embedded gallery, which is drawn, not fetched"
            raise GanError(f"{self.path}: {drawn}; use `gan scrape --source embedded`")
        raise GanError(f"{self.path}: names no picture with an http or https address")

    @cached_property
    def _survey(self) -> Survey:
        """Read the whole file once; GanError names a line that is wrong."""
        entries = web = drawn = 0
        try:
            with self.path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            for _, entry in self._entries():
                entries += 1
                web += entry.status == "ok" and bool(WEB.match(entry.url))
                drawn += entry.status == "ok" and entry.url.startswith(DRAWN)
        except OSError as error:
            raise GanError(f"{self.path}: cannot be read: {error.strerror}") from None
        return Survey(sha256, entries, web, drawn)

    def _entries(
        self, left_out: Counter[str] | None = None
    ) -> Iterator[tuple[int, ManifestEntry]]:
        seen: set[bytes] = set()
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    entry = parse_entry(line)
                except ValueError as error:
                    raise GanError(f"{self.path}:{number}: {error}") from None
                if (key := url_key(entry.url)) not in seen:
                    seen.add(key)
                    yield number, entry
                elif left_out is not None:
                    left_out["addresses named again"] += 1


def parse_entry(line: bytes) -> ManifestEntry:
    """The manifest entry in a line; ValueError where it is none.

    Stricter than Dataset's own reading, since a stranger may have written it: every type is
    checked. More lenient too: an older manifest may lack fields.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON") from None
    if not isinstance(values, dict) or not {"url", "status"} <= values.keys():
        raise ValueError("not a manifest entry: it must have url and status")
    for name, value in values.items():
        if name not in KINDS:
            raise ValueError(f"unknown field {name!r}; a newer version may know it")
        if type(value) is not KINDS[name]:
            raise ValueError(f"{name} = {value!r}: must be a {KINDS[name].__name__}")
    if not all(isinstance(tag, str) for tag in values.get("tags", ())):
        raise ValueError("tags must be texts")
    entry = ManifestEntry(**{**EMPTY, **values, "tags": tuple(values.get("tags", ()))})
    _check(entry)
    return entry


def _check(entry: ManifestEntry) -> None:
    if entry.status not in STATUSES:
        raise ValueError(f"status = {entry.status!r}: must be one of {', '.join(STATUSES)}")
    if entry.status == "ok" and not re.fullmatch("[0-9a-f]{64}", entry.sha256):
        raise ValueError(f"sha256 = {entry.sha256!r}: must be 64 hexadecimal digits")
    if entry.status != "ok" and NO_PICTURE.items() - asdict(entry).items():
        raise ValueError(f"status {entry.status}, but size or format of a picture")
    # Terminals show it, and obey control characters.
    if not entry.reason.isprintable():
        raise ValueError("reason holds a control character")


def _list(position: int, entry: ManifestEntry) -> ListedImage:
    return ListedImage(
        position=position,
        page=entry.page,
        url=entry.url,
        tags=entry.tags,
        rating=entry.rating,
        source=entry.source,
        licence=entry.licence,
        sha256=entry.sha256,
    )


def _is_copied(entry: ManifestEntry, sink: Sink) -> bool:
    """A failed entry counts too, though it isn't settled: it is copied, never tried here."""
    journal = sink.journal
    copied = journal.earlier.has_entry(entry.url) or journal.entry_of(entry.url) == entry
    return sink.is_done(_list(0, entry)) or copied


def build(place: str, request: ScrapeRequest, settings: ScrapeParams) -> FromManifest:
    """Build the source of another's manifest."""
    return FromManifest(Path(place), request.policy(settings))
