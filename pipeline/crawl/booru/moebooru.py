"""Moebooru's dialect: /post.json, as yande.re and konachan.com speak it.

Written from the sites' own /help/api and /help/cheatsheet. Pages are asked for as `id:<N` in the
order of ids, since pages by number shift when posts come.
"""

from typing import Any
from urllib.parse import urlencode

from pipeline.crawl.booru.posts import Post, PostListing, text
from pipeline.crawl.http.listing import PageRequest

LETTERS = {"s": "general", "q": "questionable", "e": "explicit"}
"""s stands for safe here."""


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
        return self.with_key(shown, before, "login", "password_hash")

    @property
    def _rating(self) -> str:
        """One rating or all but one; a search can't name two."""
        wanted = [letter for letter in LETTERS if LETTERS[letter] in self.search.ratings]
        if not self.search.filters_ratings or len(wanted) not in (1, 2):
            return ""
        if len(wanted) == 1:
            return f"rating:{wanted[0]}"
        return next(f"-rating:{letter}" for letter in LETTERS if letter not in wanted)

    def post(self, number: int, entry: dict[str, Any]) -> Post:
        """The API also lists what its uploader holds back still; deleted posts have no file_url.

        A post that the index doesn't show (`is_shown_in_index`) is public all the same.
        """
        held = "held back" if entry.get("is_held") is True else ""
        return Post(
            number=number,
            page=f"{self.search.root}/post/show/{number}",
            file=text(entry.get("file_url")),
            tags=text(entry.get("tags")),
            rating=LETTERS.get(text(entry.get("rating")), "unknown"),
            source=text(entry.get("source")),
            barred="deleted" if entry.get("status") == "deleted" else held,
        )
