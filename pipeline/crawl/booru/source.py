"""Source `booru:ROOT`: the newest posts of a booru, by whichever of three APIs it has."""

import math
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gan.errors import GanError
from pipeline.crawl.booru.api import RATINGS, SAFE, Api, Search
from pipeline.crawl.booru.apis import APIS
from pipeline.crawl.booru.credentials import KEY, USER, Credentials, read_credentials
from pipeline.crawl.booru.posts import PostListing, parse_bookmark
from pipeline.crawl.http.engine import crawl
from pipeline.crawl.http.failure_reasons import CHALLENGE
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.request import RequestedSource, check_web_address
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal

AUTO = "auto"
ORDERING = ("order:", "sort:", "limit:", "id:", "random:", "ordfav:", "ordpool:", "ordfavgroup:")
"""Search terms that would break the walk by falling ids."""
SEARCH_PAGES = re.compile(r"/(index\.php|posts?(\.json|\.xml|/.*)?)/?$")
"""Ends of the paths of pages that people copy in place of the site's address."""


class Booru(RequestedSource):
    """The newest `limit` posts with `tags` that have one of `ratings` and a file.

    Raises GanError for an API, a rating or a tag that doesn't exist or can't be asked for.
    """

    def __post_init__(self) -> None:
        _check_site(self.place)
        request = self.request
        if request.limit is None:
            raise GanError("--source booru:… needs --limit, the largest number of images to fetch")
        if request.api not in ("", AUTO, *APIS):
            raise GanError(f"--api {request.api}: must be one of {', '.join((AUTO, *APIS))}")
        if wrong := ", ".join(sorted(self.ratings - set(RATINGS))):
            raise GanError(f"--ratings {wrong}: must be of {', '.join(RATINGS)}")
        for tag in request.tags.lower().split():
            if tag.lstrip("-~").startswith(ORDERING):
                raise GanError(f"--tags {tag}: posts are always taken newest first; leave it out")

    @property
    def root(self) -> str:
        """The site's address."""
        return self.place.rstrip("/")

    @property
    def ratings(self) -> frozenset[str]:
        """The ratings that are wanted."""
        return frozenset(self.request.ratings.replace(",", " ").split()) or SAFE

    @property
    def identity(self) -> dict[str, Any]:
        """Without the API: it only says how the same posts are read, and may be detected."""
        return {
            "source": f"booru:{self.root}",
            "tags": self.request.tags,
            "ratings": sorted(self.ratings),
            "limit": self.request.limit,
            "licence": self.request.licence_note,
        }

    def fetch(self, sink: Sink) -> None:
        search = Search(
            self.root,
            self.request.tags,
            self.request.limit or math.inf,
            self.request.licence_note,
            self.ratings,
            credentials=read_credentials(self.root),
        )
        listing = PostListing(search, sink.journal, self._choose_apis(sink.journal))
        try:
            crawl(listing, sink, self.policy)
        except ListingError as error:
            message = listing.describe_failures() or str(error)
            raise ListingError(_advise(message, search.credentials), error.may_pass) from None

    def _choose_apis(self, journal: Journal) -> Sequence[Api]:
        """The API that --api names, that began this crawl, or that the host has; else all."""
        host = f".{urlsplit(self.root).hostname}"
        known = next((name for name, api in APIS.items() if host.endswith(api.hosts)), "")
        begun = next(iter(parse_bookmark(journal.bookmark)), "")
        for name in (self.request.api, begun, known):
            if name in APIS:
                return [APIS[name]]
        return list(APIS.values())


def _advise(error: str, account: Credentials) -> str:
    """An error, and what helps against it, where something does."""
    wants = f"it may want an account: set {USER} and {KEY}"
    if account:
        number = "" if account.user.isdecimal() else f"; on Gelbooru-like sites {USER} is a number"
        wants = f"check {USER} and {KEY}{number}"
    hints = {
        CHALLENGE: "",  # has a hint of its own
        "HTTP 401": wants,
        "HTTP 403": wants,
        "authentication": wants,
        "HTTP 422": "it may take fewer tags: Danbooru takes two without an account",
    }
    hint = next((hint for sign, hint in hints.items() if sign in error), "")
    return f"{error}; {hint}" if hint else error


def _check_site(text: str) -> None:
    """Refuse the address of a search or a post, and name the site and the tags in it."""
    check_web_address("booru", text)
    parts = urlsplit(text)
    path = SEARCH_PAGES.sub("", parts.path)
    if not parts.query and not parts.fragment and path == parts.path:
        return
    tags = " ".join(parse_qs(parts.query).get("tags", []))
    option = f" and --tags {tags!r}" if tags else ""
    site = f"booru:{parts.scheme}://{parts.netloc}{path}"
    raise GanError(f"--source booru:{text}: a page of the site; give --source {site}{option}")
