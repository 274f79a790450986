"""Source `booru:ROOT`: the newest posts of a booru, in whichever of three dialects it speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from scrapy.http import Response

from gan.errors import GanError
from pipeline.crawl.booru.credentials import KEY, USER, from_environment
from pipeline.crawl.booru.danbooru import Danbooru
from pipeline.crawl.booru.gelbooru import Gelbooru
from pipeline.crawl.booru.moebooru import Moebooru
from pipeline.crawl.booru.posts import RATINGS, SAFE, PostListing, Search, bookmarked
from pipeline.crawl.http.engine import Manners, crawl
from pipeline.crawl.http.image_list import say_left_out
from pipeline.crawl.http.listing import ListingPage, PageRequest
from pipeline.crawl.http.spider import NOT_EXPECTED, ListingError
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import GrowingSource
from pipeline.crawl.storage.journal import Journal

AUTO = "auto"
# Gelbooru's last: it alone takes an empty answer for one.
DIALECTS: dict[str, type[PostListing]] = {
    each.name: each for each in (Danbooru, Moebooru, Gelbooru)
}
APIS = (AUTO, *DIALECTS)
KNOWN = {
    "danbooru.donmai.us": "danbooru",
    "safebooru.donmai.us": "danbooru",
    "testbooru.donmai.us": "danbooru",
    "aibooru.online": "danbooru",
    "gelbooru.com": "gelbooru",
    "safebooru.org": "gelbooru",
    "tbib.org": "gelbooru",
    "yande.re": "moebooru",
    "konachan.com": "moebooru",
    "konachan.net": "moebooru",
    "sakugabooru.com": "moebooru",
}
ORDERING = ("order:", "sort:", "limit:", "id:", "random:", "ordfav:", "ordpool:", "ordfavgroup:")
"""Words of a search that would break the walk by falling ids."""
HINTS = {
    "HTTP 401": f"check {USER} and {KEY}",
    "HTTP 403": f"it may want an account: {USER} and {KEY}",
    "HTTP 422": "it may take fewer tags: Danbooru takes two without an account",
    "authentication": f"set {USER} and {KEY}",
}

ANSWERS = ("HTTP ", NOT_EXPECTED)
"""How it begins why a dialect was not understood; anything else is the host's, not a dialect's."""


@dataclass(frozen=True)
class Booru(GrowingSource):
    """The newest `limit` posts with `tags` that have one of `ratings` and a file.

    Raises GanError for a dialect, a rating or a tag that can't be asked for.
    """

    root: str
    tags: str
    limit: int
    licence: str
    manners: Manners
    ratings: frozenset[str] = SAFE
    api: str = AUTO

    def __post_init__(self) -> None:
        if self.api not in APIS:
            raise GanError(f"--api {self.api}: must be one of {', '.join(APIS)}")
        if not self.ratings or self.ratings - set(RATINGS):
            wrong = ", ".join(sorted(self.ratings - set(RATINGS))) or "none"
            raise GanError(f"--ratings {wrong}: must be of {', '.join(RATINGS)}")
        for tag in self.tags.lower().split():
            if tag.lstrip("-~").startswith(ORDERING):
                raise GanError(f"--tags {tag}: posts are always taken newest first; leave it out")

    @property
    def identity(self) -> dict[str, Any]:
        """Without the dialect: it only says how the same posts are read, and may be found out."""
        return {
            "source": f"booru:{self.root}",
            "tags": self.tags,
            "ratings": sorted(self.ratings),
            "limit": self.limit,
            "licence": self.licence,
        }

    @property
    def total(self) -> int:
        return self.limit

    def fetch(self, sink: Sink) -> None:
        credentials = from_environment(self.root)
        search = Search(
            self.root,
            self.tags,
            self.limit,
            self.licence,
            self.ratings,
            credentials=credentials,
        )
        listing = _Trial(self._dialects(search, sink.journal))
        try:
            crawl(listing, sink, self.manners)
        except ListingError as error:
            told = listing.sum_up(self.root) or _hint(str(error))
            raise ListingError(credentials.redact(told), error.may_pass) from None
        say_left_out(listing.left_out)

    def _dialects(self, search: Search, journal: Journal) -> list[PostListing]:
        """The one that is asked for, that began this crawl, or that the host is known for."""
        host = (urlsplit(self.root).hostname or "").removeprefix("www.")
        begun = next(iter(bookmarked(journal.bookmark)), "")
        for name in (self.api, begun, KNOWN.get(host, "")):
            if name in DIALECTS:
                return [DIALECTS[name](search, journal)]
        return [dialect(search, journal) for dialect in DIALECTS.values()]


class _Trial:
    """A listing that asks for the first page in one dialect after another until one answers."""

    def __init__(self, dialects: list[PostListing]) -> None:
        self._dialect, *self._others = dialects
        self._answered = False
        self._failures: list[tuple[str, str]] = []
        self.left_out = self._dialect.left_out

    def start(self) -> ListingPage:
        return self._dialect.start()

    def read(self, page: PageRequest, response: Response) -> ListingPage:
        found = self._dialect.read(page, response)
        self._answered = True
        return found

    def instead(self, page: PageRequest, why: str) -> Sequence[PageRequest]:
        if self._answered:
            return ()
        self._failures.append((self._dialect.name, why))
        if not self._others:
            return ()
        self._dialect = self._others.pop(0)
        self.left_out = self._dialect.left_out
        return self._dialect.start().pages

    def sum_up(self, root: str) -> str:
        """Why no dialect did, where more than one was tried; else empty."""
        if self._answered or len(self._failures) < 2:
            return ""
        whys = {why for _, why in self._failures}
        if len(whys) == 1 and not (why := whys.pop()).startswith(ANSWERS):
            return f"{root}: {why}"
        tried = "; ".join(f"{name}: {why}" for name, why in self._failures)
        return f"{root}: no booru that is known here ({tried}); name its dialect with --api"


def _hint(error: str) -> str:
    hint = next((hint for sign, hint in HINTS.items() if sign in error), "")
    return f"{error}; {hint}" if hint else error
