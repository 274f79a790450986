"""A listing of a booru's posts, from the newest one down, by whichever API answers."""

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from scrapy.http import Response

from pipeline.console import one_line
from pipeline.crawl.booru.api import Api, Search
from pipeline.crawl.http.failure_reasons import CHALLENGE, ELSEWHERE
from pipeline.crawl.http.listing import Listing, ListingPage, PageRequest
from pipeline.crawl.http.noai import keeps_from_ai
from pipeline.crawl.http.spider import NOT_EXPECTED
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.storage.journal import Journal

NOT_STILL_IMAGES = {".mp4", ".webm", ".m4v", ".mov", ".mkv", ".avi", ".zip", ".swf"}
"""File name endings of videos, of animations as a zip of frames, and of Flash."""
LONGEST_MESSAGE = 200
E621 = "an API like e621's, which is not spoken here"
NOT_UNDERSTOOD = ("HTTP ", NOT_EXPECTED)
"""Beginnings of the reasons that speak against an API; any other reason is the host's."""


class PostListing(Listing):
    """A walk of a site's posts by falling id, so that neither new posts nor a kill shift pages.

    The first page is asked for by one API after another until one answers. The journal's bookmark
    keeps that API's name and the id of the first post.
    """

    def __init__(self, search: Search, journal: Journal, apis: Sequence[Api]) -> None:
        super().__init__()
        self.search = search
        self._journal = journal
        self._api, *self._others = apis
        self._has_answered = False
        self._failures: list[tuple[str, str]] = []
        self._listed = 0

    def start(self) -> ListingPage:
        newest = parse_bookmark(self._journal.bookmark).get(self._api.name, 0)
        return ListingPage(pages=[self._page(newest + 1 if newest else 0)])

    def read(self, page: PageRequest, answer: Response) -> ListingPage:
        posts = self._select_below(page.place, self._entries(answer.body))
        self._has_answered = True
        if not posts:
            return ListingPage()
        if not page.place:
            self._journal.bookmark = f"{self._api.name} {max(posts)}"
        images = list(self._choose(posts))
        if keeps_from_ai(answer):
            images = [replace(each, noai=True) for each in images]
        oldest = min(posts)
        more = self._listed < self.search.limit and oldest > 1
        return ListingPage(images, [self._page(oldest)] if more else [])

    def replace_page(self, page: PageRequest, why: str) -> ListingPage:
        if self._has_answered:
            return ListingPage()
        self._failures.append((self._api.name, why))
        if not self._others:
            return ListingPage()
        self._api = self._others.pop(0)
        return self.start()

    def describe_failures(self) -> str:
        """The reason why no API answered, where more than one was tried; else empty."""
        if self._has_answered or len(self._failures) < 2:
            return ""
        root, reasons = self.search.root, sorted({reason for _, reason in self._failures})
        if len(reasons) == 1 and not reasons[0].startswith(NOT_UNDERSTOOD):
            return f"{root}: {reasons[0]}"
        for name, reason in self._failures:
            if any(sign in reason for sign in (CHALLENGE, E621, "authentication")):
                return f"{root}: {reason} (by the API of {name})"
        tried = "; ".join(f"{name}: {reason}" for name, reason in self._failures)
        ways = f"name it with --api, or {ELSEWHERE}"
        return f"{root}: no known booru API answers there ({tried}); {ways}"

    def _page(self, before: int) -> PageRequest:
        api, account = self._api, self.search.credentials
        query = {**dict(api.fixed), **api.query(self.search, before)}
        query["limit"] = str(api.largest_page)
        shown = f"{self.search.root}{api.path}?{urlencode(query)}"
        page = PageRequest(shown, before, interval=api.interval)
        if not account:
            return page
        if api.account is None:
            return replace(page, authorization=account.authorization)
        secret = urlencode(dict(zip(api.account, (account.user, account.key), strict=True)))
        return replace(page, url=f"{shown}&{secret}", shown=shown)

    def _entries(self, answer: bytes) -> list[Any]:
        """The posts of an answer as the API gives them; ValueError where it has no list."""
        if self._api.loose and not answer.strip():
            return []
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            raise ValueError("no JSON") from None
        if self._api.loose and isinstance(value, dict) and {"post", "@attributes"} & value.keys():
            value = value.get("post") or []
            value = [value] if isinstance(value, dict) else value
        if isinstance(value, dict) and isinstance(value.get("posts"), list):
            raise ValueError(f"{E621}; {ELSEWHERE}")
        if not isinstance(value, list):
            raise ValueError(self._read_refusal(value) or "no list of posts")
        return value

    def _read_refusal(self, value: Any) -> str:
        """The message that a site sends in place of a list of posts; empty where there is none."""
        if isinstance(value, dict):
            value = value.get("message") or value.get("reason") or value.get("error")
        if not isinstance(value, str) or not value:
            return ""
        text = self.search.credentials.redact(one_line(value))
        return f"the site says: {text[:LONGEST_MESSAGE]}"

    def _select_below(self, before: int, entries: list[Any]) -> dict[int, dict[str, Any]]:
        """The posts below the id `before` by their ids, newest first."""
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("a post that is no object")
        numbers = [parse_id(entry.get("id")) for entry in entries]
        # After the last post with an id, a short page may end the listing.
        if entries and not any(numbers) and (not before or len(entries) >= self._api.largest_page):
            raise ValueError("posts without an id")
        posts = dict(zip(reversed(numbers), reversed(entries), strict=True))
        rest = [number for number in posts if number and (not before or number < before)]
        if any(numbers) and not rest:
            raise ValueError("a page that repeats itself")
        # Sites hide ids from those without an account. Posts after the last one with an id come
        # again on the next page, and count there.
        last = max((n for n, number in enumerate(numbers) if number), default=len(numbers))
        if hidden := numbers[:last].count(0):
            self.left_out["no file"] += hidden
        return {number: posts[number] for number in sorted(rest, reverse=True)}

    def _choose(self, posts: dict[int, dict[str, Any]]) -> Iterator[ListedImage]:
        for number, entry in posts.items():
            if self._listed >= self.search.limit:
                return
            listed = self._list(number, entry)
            if reason := self._refuse(listed, entry):
                self.left_out[reason] += 1
            else:
                self._listed += 1
                yield listed

    def _list(self, number: int, entry: dict[str, Any]) -> ListedImage:
        """The image of a post, whatever API listed it; missing fields are empty."""
        api, root = self._api, self.search.root
        clean = html.unescape if api.loose else str
        file = find_file(entry)
        address = resolve_address(root, file) if file else ""
        return ListedImage(
            position=-number,
            page=self._record(root + api.post_page.format(number)),
            url=self._record(address),
            tags=tuple(clean(as_text(entry.get(api.tags))).split()),
            rating=api.ratings.get(as_text(entry.get("rating")).lower(), "unknown"),
            source=clean(as_text(entry.get("source"))),
            licence=self.search.licence,
            fetch=address,
        )

    def _refuse(self, listed: ListedImage, entry: dict[str, Any]) -> str:
        """The reason to leave a post out; empty for a wanted one."""
        if listed.rating not in self.search.ratings:
            return f"rated {listed.rating}"
        if entry.get("is_deleted") is True or entry.get("status") == "deleted":
            return "deleted"
        if entry.get("is_held") is True:
            return "held back"
        if not listed.fetch:
            return "its file has no valid address" if find_file(entry) else "no file"
        if PurePosixPath(urlsplit(listed.fetch).path).suffix.lower() in NOT_STILL_IMAGES:
            return "a video or an animation"
        texts = (listed.url, listed.page, *listed.tags, listed.source)
        return "holds the API key" if any(map(self.search.credentials.is_in, texts)) else ""

    def _record(self, url: str) -> str:
        recorded, root = self.search.recorded_root, self.search.root
        return recorded + url.removeprefix(root) if recorded else url


def find_file(entry: dict[str, Any]) -> str:
    """The address of a post's file, as the site writes it; some sites name its folder instead.

    Empty where a post is deleted, banned, or for paying accounts only.
    """
    file, folder, name = (as_text(entry.get(key)) for key in ("file_url", "directory", "image"))
    return file or (quote(f"/images/{folder}/{name}") if folder and name else "")


def parse_bookmark(bookmark: str) -> dict[str, int]:
    """Name of the API and id of the first post in a journal's bookmark; empty without one."""
    name, _, number = bookmark.partition(" ")
    newest = parse_id(number)
    return {name: newest} if newest else {}


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
