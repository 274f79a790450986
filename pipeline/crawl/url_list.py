"""Source `urls:FILE`: a list of image addresses, as text or as a table (CSV, TSV)."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.http.engine import fetch_images
from pipeline.crawl.http.listing import report_left_out
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.public_url import printable
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import GrowingSource
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.paths import sha256_of

COLUMNS = frozenset({"url", "page", "tags", "rating", "source", "licence", "sha256"})
SEPARATORS = ",\t;"
TABLES = frozenset({".csv", ".tsv"})
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
NOT_UTF_8 = "not UTF-8 text (UTF-16?); save it as UTF-8"


@dataclass(frozen=True)
class UrlList(GrowingSource):
    """The images whose addresses are in `path`, in its order; `limit` keeps the first ones.

    A text file has an address a line; `#` at a line's start begins a comment. A table has a
    header with the column `url`; `page`, `tags`, `rating`, `source`, `licence` and `sha256` are
    optional. An address that comes again is left out.
    """

    path: Path
    licence: str
    limit: int | None
    policy: CrawlPolicy

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": f"urls:{printable(self.path.name)}",
            "sha256": self._survey[0],
            "limit": self.limit,
            "licence": self.licence,
        }

    @property
    def total(self) -> int:
        return self._survey[1]

    def fetch(self, sink: Sink) -> None:
        left_out: Counter[str] = Counter()
        if not self.total:  # the whole file is read here, before any request
            raise GanError(f"{self.path}: names no address")
        fetch_images(self._images(left_out), sink, self.policy)
        report_left_out(left_out)

    @cached_property
    def _survey(self) -> tuple[str, int]:
        """The file's sha256 and its number of images; GanError where it is no such list."""
        try:
            return sha256_of(self.path), sum(1 for _ in self._images(Counter()))
        except OSError as error:
            raise GanError(f"{self.path}: cannot be read: {error.strerror}") from None
        except UnicodeError:
            raise GanError(f"{self.path}: {NOT_UTF_8}") from None

    def _images(self, left_out: Counter[str]) -> Iterator[ListedImage]:
        seen: set[bytes] = set()
        for listed in self._read(left_out):
            if len(seen) == self.limit:
                break
            key = url_key(listed.url)
            if key in seen:
                left_out["addresses named again"] += 1
            else:
                seen.add(key)
                yield listed

    def _read(self, left_out: Counter[str]) -> Iterator[ListedImage]:
        with self.path.open("rb") as start:
            encoding = "utf-16" if start.read(2) in UTF_16_MARKS else "utf-8-sig"
        with self.path.open(encoding=encoding, newline="") as stream:
            lines = self._refuse_binary(stream)
            header = next(lines, "")
            separator = self._find_separator(header)
            lines = chain([header], lines)
            if separator:
                yield from self._read_table(lines, separator, left_out)
            else:
                yield from self._read_text(lines)

    def _refuse_binary(self, lines: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(lines, start=1):
            if "\0" in line:
                raise GanError(f"{self.path}:{number}: {NOT_UTF_8}")
            yield line

    def _find_separator(self, header: str) -> str:
        """The separator of the header's columns; empty where the file is no table."""
        for separator in SEPARATORS:
            if "url" in [name.strip('"') for name in _names(header.split(separator))]:
                return separator
        if self.path.suffix.lower() in TABLES:
            raise GanError(f"{self.path}: its first line must name the columns, one of them `url`")
        return ""

    def _read_text(self, lines: Iterator[str]) -> Iterator[ListedImage]:
        for position, line in enumerate(lines):
            url = line.strip()
            if url and not url.startswith("#"):
                url = _without_fragment(url)
                yield ListedImage(position, url, url, licence=self.licence)

    def _read_table(
        self, lines: Iterator[str], separator: str, left_out: Counter[str]
    ) -> Iterator[ListedImage]:
        rows = csv.reader(lines, delimiter=separator, strict=True)
        try:
            names = _names(next(rows))
            for name in COLUMNS:
                if names.count(name) > 1:
                    raise GanError(f"{self.path}: two columns are called {name}")
            for position, row in enumerate(rows):
                cells = {n: c.strip() for n, c in zip(names, row, strict=False) if n in COLUMNS}
                if cells.get("url"):
                    yield self._read_row(position, cells, rows.line_num)
                elif any(cells.values()):
                    left_out["rows without an address"] += 1
        except csv.Error as error:
            raise GanError(f"{self.path}:{rows.line_num}: {error}") from None

    def _read_row(self, position: int, cells: dict[str, str], line: int) -> ListedImage:
        sha256 = cells.get("sha256", "").lower()
        if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
            raise GanError(f"{self.path}:{line}: sha256 {sha256!r}: must be 64 hexadecimal digits")
        url = _without_fragment(cells["url"])
        return ListedImage(
            position=position,
            page=cells.get("page") or url,
            url=url,
            tags=tuple(dict.fromkeys(re.findall(r"[^\s|]+", cells.get("tags", "")))),
            rating=cells.get("rating", ""),
            source=cells.get("source", ""),
            licence=cells.get("licence") or self.licence,
            sha256=sha256,
        )


def _names(header: list[str]) -> list[str]:
    return [name.strip().lower() for name in header]


def _without_fragment(url: str) -> str:
    """Remove the fragment, which is never sent: with it one image would be two."""
    try:
        return urldefrag(url).url if re.match("https?://", url, re.IGNORECASE) else url
    except ValueError:
        return url


def build(place: str, request: ScrapeRequest, settings: ScrapeParams) -> UrlList:
    """Build the source `urls:PLACE`."""
    policy = request.policy(settings)
    return UrlList(Path(place), request.licence_note, request.limit, policy)
