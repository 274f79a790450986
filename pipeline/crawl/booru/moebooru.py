"""The API of Moebooru, from /help/api and /help/cheatsheet of yande.re and konachan.com."""

from pipeline.crawl.booru.api import Api, Search, below, join


def _query_moebooru(search: Search, before: int) -> dict[str, str]:
    """In the order of ids, since pages by number shift when posts are added."""
    return {"tags": join(search.tags, _rate(search), "order:id_desc", below(before))}


def _rate(search: Search) -> str:
    """A search term for one rating, or for all but one: a search can't name two."""
    ratings = MOEBOORU.ratings
    wanted = [letter for letter in ratings if ratings[letter] in search.ratings]
    if not search.filters_ratings or len(wanted) not in (1, 2):
        return ""
    if len(wanted) == 1:
        return f"rating:{wanted[0]}"
    return next(f"-rating:{letter}" for letter in ratings if letter not in wanted)


MOEBOORU = Api(
    name="moebooru",
    documentation="https://yande.re/help/api",
    interval=1.0,  # none is stated
    hosts=(".yande.re", ".konachan.com", ".konachan.net", ".sakugabooru.com"),
    path="/post.json",
    post_page="/post/show/{}",
    largest_page=100,
    ratings={"s": "general", "q": "questionable", "e": "explicit"},  # s means safe
    query=_query_moebooru,
    account=("login", "password_hash"),
)
