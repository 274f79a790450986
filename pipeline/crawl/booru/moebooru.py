"""Moebooru's API: /post.json, as yande.re and konachan.com have it.

Written from the sites' own /help/api and /help/cheatsheet. Pages are asked for as `id:<N` in the
order of ids, since pages by number shift when posts are added.
"""

from typing import Any
from urllib.parse import urlencode

from pipeline.crawl.booru.posts import Post, PostListing, as_text
from pipeline.crawl.http.listing import PageRequest

LETTERS = {"s": "general", "q": "questionable", "e": "explicit"}
"""On these sites s means safe."""


class Moebooru(PostListing):
    """A listing of a site that runs Moebooru."""

    name = "moebooru"
    largest_page = 100

    def page(self, before: int) -> PageRequest:
        words = [
            self.search.tags,
            self._rating,
            "order:id_desc",
            f"id:<{before}" if before else "",
        ]
        tags = " ".join(word for word in words if word)
        query = urlencode({"tags": tags, "limit": self.largest_page})
        shown = f"{self.search.root}/post.json?{query}"
        return self.add_key(shown, before, "login", "password_hash")

    @property
    def _rating(self) -> str:
        """A search term for one rating, or for all but one: a search can't name two."""
        wanted = [letter for letter in LETTERS if LETTERS[letter] in self.search.ratings]
        if not self.search.filters_ratings or len(wanted) not in (1, 2):
            return ""
        if len(wanted) == 1:
            return f"rating:{wanted[0]}"
        return next(f"-rating:{letter}" for letter in LETTERS if letter not in wanted)

    def post(self, number: int, entry: dict[str, Any]) -> Post:
        """The API also lists posts that their uploader holds back; deleted posts have no file_url.

        A post outside the index (`is_shown_in_index`) is public all the same.
        """
        held = "held back" if entry.get("is_held") is True else ""
        return Post(
            number=number,
            page=f"{self.search.root}/post/show/{number}",
            file=as_text(entry.get("file_url")),
            tags=as_text(entry.get("tags")),
            rating=LETTERS.get(as_text(entry.get("rating")), "unknown"),
            source=as_text(entry.get("source")),
            withheld="deleted" if entry.get("status") == "deleted" else held,
        )
