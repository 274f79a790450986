"""Gelbooru 0.2's dialect: /index.php?page=dapi, which many sites speak with small differences.

Written from gelbooru.com's wiki howto:api and howto:cheatsheet, and safebooru.org's help for dapi.
Pages by number shift when posts come and end at a depth, so the search itself says `id:<N`.
"""

import html
from typing import Any
from urllib.parse import quote, urlencode

from pipeline.crawl.booru.posts import RATINGS, Post, PostListing, parse, text
from pipeline.crawl.http.listing import PageRequest

WORDS = {"safe": "general"} | {word: each for each in RATINGS for word in (each, each[0])}
"""`safe` is older sites' word; a bare s may mean sensitive, so it counts as that."""


class Gelbooru(PostListing):
    """A listing of a site that speaks as gelbooru.com or safebooru.org does."""

    name = "gelbooru"
    largest_page = 100

    def page(self, before: int) -> PageRequest:
        tags = f"{self.search.tags} id:<{before}".strip() if before else self.search.tags
        query = {"page": "dapi", "s": "post", "q": "index", "json": "1"}
        shown = f"{self.search.root}/index.php?" + urlencode(
            {**query, "limit": self.largest_page, "tags": tags}
        )
        return self.with_key(shown, before, "user_id", "api_key")

    def entries(self, answer: bytes) -> list[Any]:
        """A bare list, or one in an envelope; without posts also nothing, or an empty envelope."""
        if not answer.strip():
            return []
        value = parse(answer)
        if isinstance(value, dict) and ("post" in value or "@attributes" in value):
            value = value.get("post") or []
            value = [value] if isinstance(value, dict) else value
        return self.require_list(value)

    def post(self, number: int, entry: dict[str, Any]) -> Post:
        """Text comes with HTML's entities in it."""
        return Post(
            number=number,
            page=f"{self.search.root}/index.php?page=post&s=view&id={number}",
            file=text(entry.get("file_url")) or _stored(entry),
            tags=html.unescape(text(entry.get("tags"))),
            rating=WORDS.get(text(entry.get("rating")).lower(), "unknown"),
            source=html.unescape(text(entry.get("source"))),
            barred="deleted" if entry.get("status") == "deleted" else "",
        )


def _stored(entry: dict[str, Any]) -> str:
    """Where these sites keep a file whose address they don't give."""
    folder, name = text(entry.get("directory")), text(entry.get("image"))
    return quote(f"/images/{folder}/{name}") if folder and name else ""
