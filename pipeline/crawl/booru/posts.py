"""Common part of the booru APIs: a search, its posts, the walk from the newest one down."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar
from urllib.parse import urlencode, urljoin, urlsplit

from pipeline.crawl.booru.credentials import ANONYMOUS, Credentials
from pipeline.crawl.http.listing import ListingPage, PageAnswer, PageRequest
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.storage.journal import Journal

RATINGS = ("general", "sensitive", "questionable", "explicit")
SAFE = frozenset({"general"})
NOT_STILL_IMAGES = {".mp4", ".webm", ".m4v", ".mov", ".mkv", ".avi", ".zip", ".swf"}
"""File name endings of videos, of animations as a zip of frames, and of Flash."""
LONGEST_MESSAGE = 200


@dataclass(frozen=True)
class Search:
    """A search on the site `root`, in any API; addresses are recorded with `recorded_root`."""

    root: str
    tags: str
    limit: int
    licence: str
    ratings: frozenset[str] = SAFE
    recorded_root: str = ""
    credentials: Credentials = ANONYMOUS

    @property
    def filters_ratings(self) -> bool:
        """True where the tags don't name a rating themselves."""
        return "rating:" not in self.tags.lower()


@dataclass(frozen=True)
class Post:
    """A post, the same whatever API listed it.

    `rating` is one of RATINGS or "unknown", `file` is empty where the site shows no file, and
    `withheld` is the reason why the post isn't public, if any.
    """

    number: int
    page: str
    file: str
    tags: str
    rating: str
    source: str
    withheld: str = ""


class PostListing(ABC):
    """A walk of a site's posts by falling id, so that neither new posts nor a kill shift pages.

    The journal's bookmark keeps the API's name and the id of the first post.
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
        """Read one post; missing fields are empty."""

    def entries(self, answer: bytes) -> list[Any]:
        """The posts of an answer as the API gives them; ValueError where it has no list."""
        return self.require_list(parse(answer))

    def require_list(self, value: Any) -> list[Any]:
        """`value` if it is a list; ValueError with the site's message, if there is one."""
        if not isinstance(value, list):
            raise ValueError(read_refusal(value, self.search.credentials) or "no list of posts")
        return value

    def add_key(self, shown: str, before: int, user: str, key: str) -> PageRequest:
        """A page whose address also has the account, as parameters `user` and `key`."""
        secret = urlencode(self.search.credentials.query(user, key))
        if not secret:
            return PageRequest(shown, before)
        return PageRequest(f"{shown}&{secret}", before, shown=shown)

    def start(self) -> ListingPage:
        newest = parse_bookmark(self._journal.bookmark).get(self.name, 0)
        return ListingPage(pages=[self.page(newest + 1 if newest else 0)])

    def read(self, page: PageRequest, answer: PageAnswer) -> ListingPage:
        posts = self._select_below(page.place, self.entries(answer.body))
        if not posts:
            return ListingPage()
        if not page.place:
            self._journal.bookmark = f"{self.name} {posts[0].number}"
        images = list(self._choose(posts))
        oldest = posts[-1].number
        more = self._listed < self.search.limit and oldest > 1
        return ListingPage(images, [self.page(oldest)] if more else [])

    def replace_page(self, page: PageRequest, why: str) -> Sequence[PageRequest]:
        return ()

    def _select_below(self, before: int, entries: list[Any]) -> list[Post]:
        """The posts below the id `before`, newest first, each once."""
        posts: dict[int, Post] = {}
        without_id = trailing = 0
        for entry in entries:
            if not isinstance(entry, dict):
                raise ValueError("a post that is no object")
            if number := parse_id(entry.get("id")):
                posts.setdefault(number, self.post(number, entry))
                without_id, trailing = without_id + trailing, 0
            else:
                trailing += 1
        # After the last post with an id, a short page may end the listing.
        if entries and not posts and (not before or len(entries) >= self.largest_page):
            raise ValueError("posts without an id")
        rest = [posts[number] for number in sorted(posts, reverse=True)]
        rest = [post for post in rest if not before or post.number < before]
        if posts and not rest:
            raise ValueError("a page that repeats itself")
        self._count_without_id(without_id if posts else trailing)
        return rest

    def _count_without_id(self, count: int) -> None:
        """Count posts without an id, which a site hides from those without an account.

        Those after the last post with an id come again on the next page, and count there.
        """
        if count:
            self.left_out["no file"] += count

    def _choose(self, posts: Iterable[Post]) -> Iterable[ListedImage]:
        for post in posts:
            if self._listed >= self.search.limit:
                return
            address = resolve_address(self.search.root, post.file)
            if reason := self._refuse(post, address):
                self.left_out[reason] += 1
            else:
                self._listed += 1
                yield self._list(post, address)

    def _refuse(self, post: Post, address: str) -> str:
        """The reason to leave a post out; empty for a wanted one."""
        if post.rating not in self.search.ratings:
            return f"rated {post.rating}"
        if post.withheld or not post.file:
            return post.withheld or "no file"
        if not address:
            return "its file has no valid address"
        if PurePosixPath(urlsplit(address).path).suffix.lower() in NOT_STILL_IMAGES:
            return "a video or an animation"
        texts = (address, post.page, post.tags, post.source)
        return "holds the API key" if any(map(self.search.credentials.is_in, texts)) else ""

    def _list(self, post: Post, address: str) -> ListedImage:
        return ListedImage(
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
        recorded, root = self.search.recorded_root, self.search.root
        return recorded + url.removeprefix(root) if recorded else url


def parse_bookmark(bookmark: str) -> dict[str, int]:
    """Name of the API and id of the first post in a journal's bookmark; empty without one."""
    name, _, number = bookmark.partition(" ")
    newest = parse_id(number)
    return {name: newest} if newest else {}


def parse(answer: bytes) -> Any:
    """The JSON value of an answer; ValueError, without the answer's text, where there is none."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None


def read_refusal(value: Any, credentials: Credentials) -> str:
    """The message that a site sends in place of a list of posts; empty where there is none."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("message", "reason", "error") if value.get(key)), "")
    if not isinstance(value, str) or not value:
        return ""
    message = credentials.redact(" ".join(value.split()))[:LONGEST_MESSAGE]
    return f"the site says: {message}"


def as_text(value: Any) -> str:
    """A field that should be text; some sites write a number or null."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return value if isinstance(value, str) else str(value) if number else ""


def parse_id(value: Any) -> int:
    """An id, which some sites write as text; 0 where it is none."""
    digits = as_text(value)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0


def resolve_address(root: str, file: str) -> str:
    """The address of a file that may be given relative to `root`; empty where it is none."""
    try:
        address = urljoin(f"{root}/", file.strip())
        address.encode()
        # Reading the port is what checks it.
        return address if urlsplit(address).port != 0 else ""
    except ValueError:
        return ""
