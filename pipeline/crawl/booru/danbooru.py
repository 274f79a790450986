"""Danbooru's API: /posts.json, pages by `b<id>`, log-in by HTTP Basic.

Written from Danbooru's wiki: help:api, api:posts, help:common_url_parameters, help:cheatsheet.
"""

from typing import Any
from urllib.parse import urlencode

from pipeline.crawl.booru.posts import RATINGS, Post, PostListing, as_text
from pipeline.crawl.http.listing import PageRequest

LETTERS = {rating[0]: rating for rating in RATINGS}


class Danbooru(PostListing):
    """A listing of a site with the API of danbooru.donmai.us."""

    name = "danbooru"
    largest_page = 200

    def page(self, before: int) -> PageRequest:
        page = {"page": f"b{before}"} if before else {}
        query = urlencode({"tags": self._tags, "limit": self.largest_page, **page})
        url = f"{self.search.root}/posts.json?{query}"
        return PageRequest(url, before, self.search.credentials.basic)

    @property
    def _tags(self) -> str:
        """The tags with the wanted ratings, which don't count towards Danbooru's limit of tags."""
        letters = [letter for letter in LETTERS if LETTERS[letter] in self.search.ratings]
        if len(letters) == len(LETTERS) or not self.search.filters_ratings:
            return self.search.tags
        return f"{self.search.tags} rating:{','.join(letters)}".strip()

    def post(self, number: int, entry: dict[str, Any]) -> Post:
        """`file_url` is absent where a post is banned, removed, or for paying accounts only."""
        return Post(
            number=number,
            page=f"{self.search.root}/posts/{number}",
            file=as_text(entry.get("file_url")),
            tags=as_text(entry.get("tag_string")),
            rating=LETTERS.get(as_text(entry.get("rating")), "unknown"),
            source=as_text(entry.get("source")),
            withheld="deleted" if entry.get("is_deleted") is True else "",
        )
