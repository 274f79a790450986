"""Source `booru:ROOT`: the newest posts of a booru, by whichever of three APIs it has."""

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from gan.errors import GanError
from pipeline.crawl.booru.apis import APIS, RATINGS, SAFE, Api, Search
from pipeline.crawl.booru.credentials import KEY, USER, read_credentials
from pipeline.crawl.booru.posts import PostListing, parse_bookmark
from pipeline.crawl.http.engine import crawl
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.request import RequestedSource, check_web_address
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal

AUTO = "auto"
ORDERING = ("order:", "sort:", "limit:", "id:", "random:", "ordfav:", "ordpool:", "ordfavgroup:")
"""Search terms that would break the walk by falling ids."""
ADVICE = {
    "HTTP 401": f"check {USER} and {KEY}",
    "HTTP 403": f"it may want an account: {USER} and {KEY}",
    "HTTP 422": "it may take fewer tags: Danbooru takes two without an account",
    "authentication": f"set {USER} and {KEY}",
}


class Booru(RequestedSource):
    """The newest `limit` posts with `tags` that have one of `ratings` and a file.

    Raises GanError for an API, a rating or a tag that doesn't exist or can't be asked for.
    """

    def __post_init__(self) -> None:
        check_web_address("booru", self.place)
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
            message = listing.describe_failures() or _advise(str(error))
            raise ListingError(message, error.may_pass) from None

    def _choose_apis(self, journal: Journal) -> Sequence[Api]:
        """The API that --api names, that began this crawl, or that the host has; else all."""
        host = f".{urlsplit(self.root).hostname}"
        known = next((name for name, api in APIS.items() if host.endswith(api.hosts)), "")
        begun = next(iter(parse_bookmark(journal.bookmark)), "")
        for name in (self.request.api, begun, known):
            if name in APIS:
                return [APIS[name]]
        return list(APIS.values())


def _advise(error: str) -> str:
    hint = next((hint for sign, hint in ADVICE.items() if sign in error), "")
    return f"{error}; {hint}" if hint else error
