"""The three APIs of boorus: addresses, search terms and words for ratings, as far as they differ.

Written from Danbooru's wiki (help:api, api:posts, help:common_url_parameters, help:cheatsheet),
gelbooru.com's wiki (howto:api, howto:cheatsheet), safebooru.org's help for dapi, and /help/api and
/help/cheatsheet of yande.re and konachan.com.
"""

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

    `hosts` are domains that are known to have it. `path` and `fixed` are address and parameters of
    a listing, `query(search, before)` the other parameters for the newest posts below the id
    `before` (0: the newest of all), at most `largest_page` of them. `ratings` names the rating of
    each word. `account` names the parameters of name and key; without them they go into a header.
    A `loose` API answers also with an object or, without posts, with nothing, and its texts have
    HTML entities in them.
    """

    name: str
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


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _query_danbooru(search: Search, before: int) -> dict[str, str]:
    """Ratings and `page` don't count towards Danbooru's limit of tags."""
    letters = [letter for letter in LETTERS if LETTERS[letter] in search.ratings]
    is_any = len(letters) == len(LETTERS) or not search.filters_ratings
    tags = _join(search.tags, "" if is_any else f"rating:{','.join(letters)}")
    return {"tags": tags, **({"page": f"b{before}"} if before else {})}


def _query_gelbooru(search: Search, before: int) -> dict[str, str]:
    """Pages by number shift when posts are added, and have a largest number."""
    return {"tags": _join(search.tags, _below(before))}


def _query_moebooru(search: Search, before: int) -> dict[str, str]:
    """In the order of ids, since pages by number shift when posts are added."""
    return {"tags": _join(search.tags, _rate(search), "order:id_desc", _below(before))}


def _below(before: int) -> str:
    return f"id:<{before}" if before else ""


def _rate(search: Search) -> str:
    """A search term for one rating, or for all but one: a search can't name two."""
    ratings = MOEBOORU.ratings
    wanted = [letter for letter in ratings if ratings[letter] in search.ratings]
    if not search.filters_ratings or len(wanted) not in (1, 2):
        return ""
    if len(wanted) == 1:
        return f"rating:{wanted[0]}"
    return next(f"-rating:{letter}" for letter in ratings if letter not in wanted)


DANBOORU = Api(
    name="danbooru",
    hosts=(".donmai.us", ".aibooru.online"),
    path="/posts.json",
    post_page="/posts/{}",
    largest_page=200,
    ratings=LETTERS,
    query=_query_danbooru,
    tags="tag_string",
)
MOEBOORU = Api(
    name="moebooru",
    hosts=(".yande.re", ".konachan.com", ".konachan.net", ".sakugabooru.com"),
    path="/post.json",
    post_page="/post/show/{}",
    largest_page=100,
    ratings={"s": "general", "q": "questionable", "e": "explicit"},  # s means safe
    query=_query_moebooru,
    account=("login", "password_hash"),
)
GELBOORU = Api(
    name="gelbooru",
    hosts=(".gelbooru.com", ".safebooru.org", ".tbib.org"),
    path="/index.php",
    post_page="/index.php?page=post&s=view&id={}",
    largest_page=100,
    # Older sites write `safe`; a bare s may mean sensitive, so it counts as that.
    ratings={"safe": "general", **LETTERS, **{rating: rating for rating in RATINGS}},
    query=_query_gelbooru,
    fixed=(("page", "dapi"), ("s", "post"), ("q", "index"), ("json", "1")),
    account=("user_id", "api_key"),
    loose=True,
)
APIS = {api.name: api for api in (DANBOORU, MOEBOORU, GELBOORU)}
"""In the order of detection: only the last one takes an empty answer for a list."""
