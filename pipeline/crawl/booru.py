"""Source `booru:ROOT`: a site that speaks Danbooru's JSON API."""

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin

from pipeline.crawl.engine import Manners, crawl
from pipeline.crawl.pictures import Listed
from pipeline.crawl.sink import Sink
from pipeline.crawl.spider import ListingPage
from pipeline.snapshot.journal import Journal

POSTS_A_PAGE = 200
RATINGS = {"g": "general", "s": "sensitive", "q": "questionable", "e": "explicit"}
WANTED_RATINGS = frozenset({"general"})
POLITE = Manners()


@dataclass(frozen=True)
class Booru:
    """The newest `limit` posts with `tags` that are rated general."""

    root: str
    tags: str
    limit: int
    licence: str
    manners: Manners = POLITE

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": f"booru:{self.root}",
            "tags": self.tags,
            "limit": self.limit,
            "licence": self.licence,
        }

    @property
    def total(self) -> int:
        return self.limit

    def describe(self, count: int) -> dict[str, Any]:
        return {**self.identity, "count": count}

    def fetch(self, sink: Sink) -> None:
        listing = Danbooru(self.root, self.tags, self.limit, self.licence, journal=sink.journal)
        crawl(listing, sink, self.manners)
        for reason, count in sorted(listing.skipped.items()):
            sys.stderr.write(f"{count} posts left out: {reason}\n")


@dataclass
class Danbooru:
    """Reads /posts.json, newest post first; a `home` replaces `root` in what is recorded."""

    root: str
    tags: str
    limit: int
    licence: str
    journal: Journal
    home: str = ""
    skipped: Counter[str] = field(default_factory=Counter)
    _listed: int = 0

    @property
    def first_url(self) -> str:
        """After a kill: the same first post as before, although new ones may have come since."""
        newest = self.journal.bookmark
        return self._url(int(newest) + 1 if newest else None)

    def read(self, body: bytes) -> ListingPage:
        posts = json.loads(body)
        if not isinstance(posts, list):
            raise ValueError("no list of posts")
        if posts and not self.journal.bookmark:
            self.journal.bookmark = str(_number(posts[0]))
        images = [listed for post in posts if (listed := self._read_post(post)) is not None]
        images = images[: self.limit - self._listed]
        self._listed += len(images)
        more = len(posts) > 0 and self._listed < self.limit
        return ListingPage(images, self._url(min(map(_number, posts))) if more else "")

    def _url(self, before: int | None) -> str:
        page = {"page": f"b{before}"} if before is not None else {}
        query = urlencode({"tags": self.tags, "limit": POSTS_A_PAGE, **page})
        return f"{self.root}/posts.json?{query}"

    def _read_post(self, post: dict[str, Any]) -> Listed | None:
        """An image, or None where the post is not wanted or shows no file to strangers."""
        number = _number(post)
        rating = RATINGS.get(str(post.get("rating")), str(post.get("rating")))
        if rating not in WANTED_RATINGS or not post.get("file_url"):
            self.skipped["no file" if rating in WANTED_RATINGS else f"rated {rating}"] += 1
            return None
        fetch = urljoin(f"{self.root}/", str(post["file_url"]))
        return Listed(
            position=-number,
            page=self._record(f"{self.root}/posts/{number}"),
            url=self._record(fetch),
            tags=tuple(str(post.get("tag_string", "")).split()),
            rating=rating,
            licence=self.licence,
            fetch=fetch,
        )

    def _record(self, url: str) -> str:
        return self.home + url.removeprefix(self.root) if self.home else url


def _number(post: Any) -> int:
    if not isinstance(post, dict) or not isinstance(post.get("id"), int):
        raise ValueError("a post without a number")
    return int(post["id"])
