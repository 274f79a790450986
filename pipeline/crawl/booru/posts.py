"""What the booru dialects share: a search, its posts, and the walk from the newest one down."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar
from urllib.parse import urlencode, urljoin, urlsplit

from scrapy.http import Response

from pipeline.crawl.booru.credentials import NOBODY, Credentials
from pipeline.crawl.http.listing import ListingPage, PageRequest
from pipeline.crawl.image_check import Listed
from pipeline.crawl.storage.journal import Journal

RATINGS = ("general", "sensitive", "questionable", "explicit")
SAFE = frozenset({"general"})
NO_STILLS = {".mp4", ".webm", ".m4v", ".mov", ".mkv", ".avi", ".zip", ".swf"}
"""Endings of what boorus hold besides pictures: videos, animations as a zip of frames, Flash."""
LONGEST_MESSAGE = 200


@dataclass(frozen=True)
class Search:
    """What is asked of a booru in whatever dialect; `home` replaces `root` in what is recorded."""

    root: str
    tags: str
    limit: int
    licence: str
    ratings: frozenset[str] = SAFE
    home: str = ""
    credentials: Credentials = NOBODY

    @property
    def filters_ratings(self) -> bool:
        """True where the user's own tags leave the rating to us."""
        return "rating:" not in self.tags.lower()


@dataclass(frozen=True)
class Post:
    """A post with its dialect taken off.

    `rating` is one of RATINGS or "unknown", `file` is empty where the site shows none to us, and
    `barred` says why the post isn't for anybody.
    """

    number: int
    page: str
    file: str
    tags: str
    rating: str
    source: str
    barred: str = ""


class PostListing(ABC):
    """Walks a site's posts by falling id, so that neither new posts nor a kill shift the pages.

    The first post goes into the journal's bookmark, with the dialect that read it.
    """

    name: ClassVar[str]
    largest_page: ClassVar[int]

    def __init__(self, search: Search, journal: Journal) -> None:
        self.search = search
        self.left_out: Counter[str] = Counter()
        self._journal = journal
        self._listed = 0

    @abstractmethod
    def page(self, before: int) -> PageRequest:
        """The newest posts below the id `before`, or the newest of all for 0."""

    @abstractmethod
    def post(self, number: int, entry: dict[str, Any]) -> Post:
        """Read one post; what is missing in it is empty."""

    def entries(self, answer: bytes) -> list[Any]:
        """The posts of an answer, as they came; ValueError where it is none."""
        return self.require_list(parse(answer))

    def require_list(self, value: Any) -> list[Any]:
        """`value` if it is a list; ValueError with what the site says instead, if anything."""
        if not isinstance(value, list):
            raise ValueError(refusal(value, self.search.credentials) or "no list of posts")
        return value

    def with_key(self, shown: str, before: int, user: str, key: str) -> PageRequest:
        """A page whose address also takes the account, as parameters of these two names."""
        secret = urlencode(self.search.credentials.query(user, key))
        if not secret:
            return PageRequest(shown, before)
        return PageRequest(f"{shown}&{secret}", before, shown=shown)

    def start(self) -> ListingPage:
        newest = bookmarked(self._journal.bookmark).get(self.name, 0)
        return ListingPage(pages=[self.page(newest + 1 if newest else 0)])

    def read(self, page: PageRequest, response: Response) -> ListingPage:
        posts = self._below(page.place, self.entries(response.body))
        if not posts:
            return ListingPage()
        if not page.place:
            self._journal.bookmark = f"{self.name} {posts[0].number}"
        images = list(self._choose(posts))
        oldest = posts[-1].number
        more = self._listed < self.search.limit and oldest > 1
        return ListingPage(images, [self.page(oldest)] if more else [])

    def instead(self, page: PageRequest, why: str) -> Sequence[PageRequest]:
        return ()

    def _below(self, before: int, entries: list[Any]) -> list[Post]:
        """The posts that the walk hasn't passed yet, newest first, each once."""
        posts: dict[int, Post] = {}
        nameless = behind = 0
        for entry in entries:
            if not isinstance(entry, dict):
                raise ValueError("a post that is no object")
            if number := positive(entry.get("id")):
                posts.setdefault(number, self.post(number, entry))
                nameless, behind = nameless + behind, 0
            else:
                behind += 1
        # After the last post that has one, a short page may end the listing.
        if entries and not posts and (not before or len(entries) >= self.largest_page):
            raise ValueError("posts without an id")
        rest = [posts[number] for number in sorted(posts, reverse=True)]
        rest = [post for post in rest if not before or post.number < before]
        if posts and not rest:
            raise ValueError("a page that repeats itself")
        self._count_nameless(nameless if posts else behind)
        return rest

    def _count_nameless(self, count: int) -> None:
        """What a site hides from strangers may come without an id.

        Those behind the last post that has one come again on the next page, to be counted there.
        """
        if count:
            self.left_out["no file"] += count

    def _choose(self, posts: Iterable[Post]) -> Iterable[Listed]:
        for post in posts:
            if self._listed >= self.search.limit:
                return
            address = absolute(self.search.root, post.file)
            if why := self._refuse(post, address):
                self.left_out[why] += 1
            else:
                self._listed += 1
                yield self._list(post, address)

    def _refuse(self, post: Post, address: str) -> str:
        """Why a post is left out; empty for one that is wanted."""
        if post.rating not in self.search.ratings:
            return f"rated {post.rating}"
        if post.barred or not post.file:
            return post.barred or "no file"
        if not address:
            return "its file's address is none"
        if PurePosixPath(urlsplit(address).path).suffix.lower() in NO_STILLS:
            return "a video or an animation"
        texts = (address, post.page, post.tags, post.source)
        return "holds the API key" if any(map(self.search.credentials.is_in, texts)) else ""

    def _list(self, post: Post, address: str) -> Listed:
        return Listed(
            position=-post.number,
            page=self._record(post.page),
            url=self._record(address),
            tags=tuple(post.tags.split()),
            rating=post.rating,
            source=post.source,
            licence=self.search.licence,
            fetch=address,
        )

    def _record(self, url: str) -> str:
        home, root = self.search.home, self.search.root
        return home + url.removeprefix(root) if home else url


def bookmarked(bookmark: str) -> dict[str, int]:
    """Dialect and first post that a killed crawl noted; nothing where it noted none."""
    name, _, number = bookmark.partition(" ")
    newest = positive(number)
    return {name: newest} if newest else {}


def parse(answer: bytes) -> Any:
    """The JSON value of an answer; ValueError says that there is none, and repeats nothing."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None


def refusal(value: Any, credentials: Credentials) -> str:
    """What a site says in place of a list of posts; empty where it says nothing."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("message", "reason", "error") if value.get(key)), "")
    if not isinstance(value, str) or not value:
        return ""
    said = credentials.redact(" ".join(value.split()))[:LONGEST_MESSAGE]
    return f"the site says: {said}"


def text(value: Any) -> str:
    """A field that should be text; some sites write a number or null."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return value if isinstance(value, str) else str(value) if number else ""


def positive(value: Any) -> int:
    """An id, which some sites write as text; 0 where it is none."""
    digits = text(value)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0


def absolute(root: str, file: str) -> str:
    """The address of a file that may be given relative to `root`; empty where it is none."""
    try:
        address = urljoin(f"{root}/", file.strip())
        address.encode()
        # Reading the port is what checks it.
        return address if urlsplit(address).port != 0 else ""
    except ValueError:
        return ""
