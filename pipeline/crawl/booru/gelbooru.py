"""Gelbooru 0.2's API: /index.php?page=dapi, which many sites have with small differences.

Written from gelbooru.com's wiki howto:api and howto:cheatsheet, and safebooru.org's help for dapi.
Pages by number shift when posts are added and have a largest number, so the search says `id:<N`.
"""

import html
from typing import Any
from urllib.parse import quote, urlencode

from pipeline.crawl.booru.posts import RATINGS, Post, PostListing, as_text, parse
from pipeline.crawl.http.listing import PageRequest

RATING_OF_WORD = {"safe": "general"} | {word: each for each in RATINGS for word in (each, each[0])}
"""Older sites write `safe`; a bare s may mean sensitive, so it counts as that."""


class Gelbooru(PostListing):
    """A listing of a site with the API of gelbooru.com or safebooru.org."""

    name = "gelbooru"
    largest_page = 100

    def page(self, before: int) -> PageRequest:
        tags = f"{self.search.tags} id:<{before}".strip() if before else self.search.tags
        query = {"page": "dapi", "s": "post", "q": "index", "json": "1"}
        shown = f"{self.search.root}/index.php?" + urlencode(
            {**query, "limit": self.largest_page, "tags": tags}
        )
        return self.add_key(shown, before, "user_id", "api_key")

    def entries(self, answer: bytes) -> list[Any]:
        """A bare list, or one in an object; without posts also an empty answer or object."""
        if not answer.strip():
            return []
        value = parse(answer)
        if isinstance(value, dict) and ("post" in value or "@attributes" in value):
            value = value.get("post") or []
            value = [value] if isinstance(value, dict) else value
        return self.require_list(value)

    def post(self, number: int, entry: dict[str, Any]) -> Post:
        """Texts have HTML entities in them."""
        return Post(
            number=number,
            page=f"{self.search.root}/index.php?page=post&s=view&id={number}",
            file=as_text(entry.get("file_url")) or _build_path(entry),
            tags=html.unescape(as_text(entry.get("tags"))),
            rating=RATING_OF_WORD.get(as_text(entry.get("rating")).lower(), "unknown"),
            source=html.unescape(as_text(entry.get("source"))),
            withheld="deleted" if entry.get("status") == "deleted" else "",
        )


def _build_path(entry: dict[str, Any]) -> str:
    """The path where these sites keep a file whose address they don't give."""
    folder, name = as_text(entry.get("directory")), as_text(entry.get("image"))
    return quote(f"/images/{folder}/{name}") if folder and name else ""
