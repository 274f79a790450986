"""Sources that are a file of image addresses: `urls:FILE`, and `--from-manifest FILE`.

A list is text or a table (CSV, TSV). A manifest is another person's, which may be passed on where
the pictures themselves may not: they are fetched from where they were published, and only files
that are the same, byte for byte, are kept.
"""

import csv
import json
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from functools import cached_property
from itertools import chain, islice
from typing import Any
from urllib.parse import urldefrag

from gan.errors import GanError
from pipeline.console import say
from pipeline.crawl.archive.gallery_dl import RATINGS
from pipeline.crawl.http.engine import crawl
from pipeline.crawl.http.listing import Listing
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.public_url import printable
from pipeline.crawl.request import RequestedSource
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.dataset.manifest import STATUSES, ManifestEntry
from pipeline.paths import sha256_of

COLUMNS = frozenset({"url", "page", "tags", "rating", "source", "licence", "sha256"})
OTHER_NAMES = {"license": "licence", "tag_string": "tags"}
"""Other names of columns."""
SEPARATORS = ",\t;"
ADDRESS = re.compile("(https?:)?//[^/\\s]", re.IGNORECASE)
OTHER_LINE = re.compile(r"""["'{\[<].*|\s+[\w-]+=.*|\s*\S+\t\s*\S.*""", re.DOTALL)
"""A line of another kind of list: quoted, JSON, an option of aria2, or with a second column."""
TABLES = frozenset({".csv", ".tsv"})
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
NOT_UTF_8 = "not UTF-8 text (UTF-16?); save it as UTF-8"
SHA256 = re.compile("[0-9a-f]{64}")

WEB = ("http:", "https:")
DRAWN = "gallery:"
SHOWN = 200
"""Characters of a line or header in a message."""
DEFAULTS: dict[str, Any] = {
    each.name: "" if each.default is MISSING else each.default for each in fields(ManifestEntry)
} | {"tags": []}
"""The fields of an entry, each with a value of its JSON type: an older manifest may lack some."""


class AddressFile(RequestedSource):
    """A file of image addresses, in its order; an address that comes again is left out."""

    @property
    def total(self) -> int:
        return self._survey[1].total()

    @cached_property
    def _survey(self) -> tuple[str, Counter[str], str]:
        """The sha256; counts of pictures by the scheme of their addresses; the first bad address.

        The scheme is empty for an entry without a picture, the address with its line where there
        is none. Reads the whole file; GanError names a line that is wrong.
        """
        schemes: Counter[str] = Counter()
        first = ""
        try:
            for line, entry in islice(self._distinct(Counter()), self.request.limit):
                schemes[scheme := _scheme_of(entry)] += 1
                if scheme not in ("", *WEB) and not first:
                    first = f"the first in line {line}: {printable(entry.url)[:SHOWN]}"
            return sha256_of(self.path), schemes, first
        except OSError as error:
            raise GanError(f"{self.path}: cannot be read: {error.strerror}") from None
        except UnicodeError:
            raise GanError(f"{self.path}: {NOT_UTF_8}") from None

    def fetch(self, sink: Sink) -> None:
        if not self.total:  # the whole file is read here, before any request
            raise GanError(f"{self.path}: names no address")
        _, schemes, first = self._survey
        if first:
            bad = sum(count for scheme, count in schemes.items() if scheme not in ("", *WEB))
            say(f"{printable(self.path.name)}: {bad} not of http or https, {first}")
        listing = Listing()
        entries = self._entries(listing.left_out)
        listing.images = (_list(*each) for each in entries if each[1].status == "ok")
        crawl(listing, sink, self.policy)

    def _entries(self, left_out: Counter[str]) -> Iterator[tuple[int, ManifestEntry]]:
        """The entries with their positions; those to fetch have the status ok."""
        distinct = islice(self._distinct(left_out), self.request.limit)
        return enumerate(entry for _, entry in distinct)

    def _distinct(self, left_out: Counter[str]) -> Iterator[tuple[int, ManifestEntry]]:
        seen: set[bytes] = set()
        for line, entry in self._read(left_out):
            if (key := url_key(entry.url)) in seen:
                left_out["addresses named again"] += 1
            else:
                seen.add(key)
                yield line, entry

    @abstractmethod
    def _read(self, left_out: Counter[str]) -> Iterator[tuple[int, ManifestEntry]]:
        """The entries in the file's order, each with the number of its line."""


class UrlList(AddressFile):
    """The images whose addresses are in `path`, in its order; `limit` keeps the first ones.

    A text file has an address a line; `#` at a line's start begins a comment. A table has a
    header with the column `url`; `page`, `tags`, `rating`, `source`, `licence` and `sha256` are
    optional; `license` and `tag_string` are other names of two. Ratings are read as in sidecars.
    """

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": f"urls:{printable(self.path.name)}",
            "sha256": self._survey[0],
            "limit": self.request.limit,
            "licence": self.request.licence_note,
        }

    def _read(self, left_out: Counter[str]) -> Iterator[tuple[int, ManifestEntry]]:
        with self.path.open("rb") as start:
            encoding = "utf-16" if start.read(2) in UTF_16_MARKS else "utf-8-sig"
        with self.path.open(encoding=encoding, newline="") as stream:
            lines = self._refuse_binary(stream)
            header = next(lines, "")
            second = next(lines, "")
            separator = self._find_separator(header, second)
            lines = chain([header, second], lines)
            if separator:
                yield from self._read_table(lines, separator, left_out)
            else:
                yield from self._read_text(lines)

    def _refuse_binary(self, lines: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(lines, start=1):
            if "\0" in line:
                raise GanError(f"{self.path}:{number}: {NOT_UTF_8}")
            yield line

    def _find_separator(self, header: str, second: str) -> str:
        """The separator of the header's columns; empty where the file is no table."""
        for separator in SEPARATORS:
            if "url" in [name.strip('"') for name in _names(header.split(separator))]:
                return separator
        if self.path.suffix.lower() in TABLES:
            separator = max(SEPARATORS, key=header.count)
            names, row = (
                next(csv.reader([header[: csv.field_size_limit()]], delimiter=separator)),
                second.split(separator),
            )
            held = [
                n for n, cell in zip(names, row, strict=False) if ADDRESS.match(cell.strip(' "'))
            ]
            found = f"it names {printable(', '.join(names))[:SHOWN]}"
            advice = f"; addresses are in {' and '.join(held)}: rename one to url" if held else ""
            must = "its first line must name the columns, one of them `url`"
            raise GanError(f"{self.path}: {must}; {found}{advice}")
        return ""

    def _read_text(self, lines: Iterator[str]) -> Iterator[tuple[int, ManifestEntry]]:
        for number, line in enumerate(lines, start=1):
            url = line.strip()
            if not url or url.startswith("#"):
                continue
            if OTHER_LINE.fullmatch(line.rstrip()):
                shown = f"{self.path}:{number}: {printable(url)[:SHOWN]!r}"
                how = (
                    "a list has one a line and nothing else, a table (CSV, TSV) a header with url"
                )
                raise GanError(f"{shown}: no address; {how}")
            yield number, self._read_row({"url": url})

    def _read_table(
        self, lines: Iterator[str], separator: str, left_out: Counter[str]
    ) -> Iterator[tuple[int, ManifestEntry]]:
        rows = csv.reader(lines, delimiter=separator, strict=True)
        try:
            names = _names(next(rows))
            for name in COLUMNS:
                if names.count(name) > 1:
                    raise GanError(f"{self.path}: two columns are called {name}")
            if unused := [name for name in names if name and name not in COLUMNS]:
                left_out[f"columns that are not used: {', '.join(map(printable, unused))}"] += len(
                    unused
                )
            for row in rows:
                cells = {n: c.strip() for n, c in zip(names, row, strict=False) if n in COLUMNS}
                if cells.get("url"):
                    yield rows.line_num, self._read_row(cells, rows.line_num)
                elif any(cells.values()):
                    left_out["rows without an address"] += 1
        except csv.Error as error:
            raise GanError(f"{self.path}:{rows.line_num}: {error}") from None

    def _read_row(self, cells: dict[str, str], line: int = 1) -> ManifestEntry:
        sha256 = cells.get("sha256", "").lower()
        if sha256 and not SHA256.fullmatch(sha256):
            raise GanError(f"{self.path}:{line}: sha256 {sha256!r}: must be 64 hexadecimal digits")
        url = cells["url"]
        url = _without_fragment(f"https:{url}" if ADDRESS.match(url) and url[0] == "/" else url)
        return ManifestEntry(
            page=cells.get("page") or url,
            url=url,
            tags=tuple(dict.fromkeys(re.findall(r"[^\s|]+", cells.get("tags", "")))),
            rating=RATINGS.get(cells.get("rating", "").lower(), cells.get("rating", "")),
            source=cells.get("source", ""),
            licence=cells.get("licence") or self.request.licence_note,
            status="ok",
            sha256=sha256,
        )


def _scheme_of(entry: ManifestEntry) -> str:
    scheme = entry.url[:9].partition(":")[0].lower()
    return f"{scheme}:" if entry.status == "ok" else ""


def _names(header: list[str]) -> list[str]:
    names = (name.strip().lower() for name in header)
    return [OTHER_NAMES.get(name, name) for name in names]


def _without_fragment(url: str) -> str:
    """Remove the fragment, which is never sent: with it one image would be two."""
    try:
        return urldefrag(url).url if re.match("https?://", url, re.IGNORECASE) else url
    except ValueError:
        return url


class FromManifest(AddressFile):
    """The images of the manifest at `path`, each with the sha256 that it has there.

    Entries without a picture are copied, so that the manifest is the same if every file is.
    """

    @property
    def identity(self) -> dict[str, Any]:
        sha256 = self._survey[0]
        return {"source": f"manifest:{sha256[:12]}", "sha256": sha256}

    def fetch(self, sink: Sink) -> None:
        schemes = self._survey[1]
        if not any(schemes[scheme] for scheme in WEB):
            if schemes[DRAWN]:
                drawn = "its pictures are of the embedded gallery, which is drawn, not fetched"
                raise GanError(f"{self.path}: {drawn}; use `gan scrape --source embedded`")
            raise GanError(f"{self.path}: names no picture with an http or https address")
        for position, entry in self._entries(Counter()):
            if entry.status != "ok" and not _is_copied(entry, sink):
                sink.add(_list(position, entry), entry)
        super().fetch(sink)

    def _read(self, left_out: Counter[str]) -> Iterator[tuple[int, ManifestEntry]]:
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    if line.strip():
                        yield number, parse_entry(line)
                except ValueError as error:
                    raise GanError(f"{self.path}:{number}: {error}") from None


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
    if entry.status == "ok" and not SHA256.fullmatch(entry.sha256):
        raise ValueError(f"sha256 = {entry.sha256!r}: must be 64 hexadecimal digits")
    picture = (entry.sha256, entry.bytes, entry.format, entry.width, entry.height)
    if entry.status != "ok" and any(picture):
        raise ValueError(f"status {entry.status}, but size or format of a picture")
    # Terminals show it, and obey control characters.
    if not entry.reason.isprintable():
        raise ValueError("reason holds a control character")


def _list(position: int, entry: ManifestEntry) -> ListedImage:
    origin = (entry.page, entry.url, entry.tags, entry.rating, entry.source, entry.licence)
    return ListedImage(position, *origin, sha256=entry.sha256)


def _is_copied(entry: ManifestEntry, sink: Sink) -> bool:
    """A failed entry counts too, though it isn't settled: it is copied, never tried here."""
    journal = sink.journal
    copied = journal.earlier.has_entry(entry.url) or journal.entry_of(entry.url) == entry
    return sink.is_done(_list(0, entry)) or copied
