"""Source `--from-manifest FILE`: exactly the images in another person's manifest.

A manifest may be passed on where the pictures themselves may not. With it they are fetched from
where they were published, and only files that are the same, byte for byte, are kept.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.http.engine import fetch_images
from pipeline.crawl.http.listing import report_left_out
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import GrowingSource
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.dataset.manifest import STATUSES, ManifestEntry
from pipeline.paths import sha256_of

WEB = ("http:", "https:")
DRAWN = "gallery:"
DEFAULTS: dict[str, Any] = {
    each.name: "" if each.default is MISSING else each.default for each in fields(ManifestEntry)
} | {"tags": []}
"""The fields of an entry, each with a value of its JSON type: an older manifest may lack some."""


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
        sha256, _ = self._survey
        return {"source": f"manifest:{sha256[:12]}", "sha256": sha256}

    @property
    def total(self) -> int:
        return self._survey[1].total()

    def fetch(self, sink: Sink) -> None:
        _, schemes = self._survey
        if not any(schemes[scheme] for scheme in WEB):
            if schemes[DRAWN]:
                drawn = "its pictures are of the embedded gallery, which is drawn, not fetched"
                raise GanError(f"{self.path}: {drawn}; use `gan scrape --source embedded`")
            raise GanError(f"{self.path}: names no picture with an http or https address")
        left_out: Counter[str] = Counter()
        for position, entry in self._entries(left_out):
            if entry.status != "ok" and not _is_copied(entry, sink):
                sink.add(_list(position, entry), entry)
        wanted = (_list(*each) for each in self._entries() if each[1].status == "ok")
        fetch_images(wanted, sink, self.policy)
        report_left_out(left_out)

    @cached_property
    def _survey(self) -> tuple[str, Counter[str]]:
        """The sha256, and counts of entries by the scheme of their pictures, empty without one.

        Reads the whole file; GanError names a line that is wrong.
        """
        try:
            schemes = Counter(_scheme(entry) for _, entry in self._entries())
            return sha256_of(self.path), schemes
        except OSError as error:
            raise GanError(f"{self.path}: cannot be read: {error.strerror}") from None

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
        if name not in DEFAULTS:
            raise ValueError(f"unknown field {name!r}; a newer version may know it")
        if type(value) is not type(DEFAULTS[name]):
            raise ValueError(f"{name} = {value!r}: must be a {type(DEFAULTS[name]).__name__}")
    tags = tuple(values.get("tags", ()))
    if not all(isinstance(tag, str) for tag in tags):
        raise ValueError("tags must be texts")
    entry = ManifestEntry(**{**DEFAULTS, **values, "tags": tags})
    _check(entry)
    return entry


def _check(entry: ManifestEntry) -> None:
    if entry.status not in STATUSES:
        raise ValueError(f"status = {entry.status!r}: must be one of {', '.join(STATUSES)}")
    if entry.status == "ok" and not re.fullmatch("[0-9a-f]{64}", entry.sha256):
        raise ValueError(f"sha256 = {entry.sha256!r}: must be 64 hexadecimal digits")
    picture = (entry.sha256, entry.bytes, entry.format, entry.width, entry.height)
    if entry.status != "ok" and any(picture):
        raise ValueError(f"status {entry.status}, but size or format of a picture")
    # Terminals show it, and obey control characters.
    if not entry.reason.isprintable():
        raise ValueError("reason holds a control character")


def _scheme(entry: ManifestEntry) -> str:
    """The scheme of a picture's address, such as `https:`; empty where there is no picture."""
    return entry.url[:9].partition(":")[0].lower() + ":" if entry.status == "ok" else ""


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
