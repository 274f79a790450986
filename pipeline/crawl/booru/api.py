"""The API of a booru: addresses, search terms and words for ratings, as far as they differ."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.crawl.booru.credentials import ANONYMOUS, Credentials

RATINGS = ("general", "sensitive", "questionable", "explicit")
SAFE = frozenset({"general"})
LETTERS = {rating[0]: rating for rating in RATINGS}


@dataclass(frozen=True)
class Search:
    """A search on the site `root`, in any API; addresses are recorded with `recorded_root`."""

    root: str
    tags: str
    limit: float
    licence: str
    ratings: frozenset[str] = SAFE
    recorded_root: str = ""
    credentials: Credentials = ANONYMOUS

    @property
    def filters_ratings(self) -> bool:
        """True where the tags don't name a rating themselves."""
        return "rating:" not in self.tags.lower()


@dataclass(frozen=True)
class Api:
    """One API.

    `documentation` is the page that offers it to programs, so that robots.txt, which is for
    crawlers, does not count for its listing; `interval` seconds pass between two requests of that,
    as the page asks, or 1. `hosts` are domains that are known to have it. `path` and `fixed` are
    address and parameters of a listing, `query(search, before)` the other parameters for the
    newest posts below the id `before` (0: the newest of all), at most `largest_page` of them.
    `ratings` names the rating of each word. `account` names the parameters of name and key;
    without them they go into a header. A `loose` API answers also with an object or, without
    posts, with nothing, and its texts have HTML entities in them.
    """

    name: str
    documentation: str
    interval: float
    hosts: tuple[str, ...]
    path: str
    post_page: str
    largest_page: int
    ratings: dict[str, str]
    query: Callable[[Search, int], dict[str, str]]
    fixed: tuple[tuple[str, str], ...] = ()
    tags: str = "tags"
    account: tuple[str, str] | None = None
    loose: bool = False


def join(*words: str) -> str:
    """The words that aren't empty, with blanks between them."""
    return " ".join(word for word in words if word)


def below(before: int) -> str:
    """A search term for ids below `before`, in two of the APIs; empty for 0."""
    return f"id:<{before}" if before else ""
