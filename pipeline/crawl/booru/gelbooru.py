"""The API of Gelbooru 0.2.

From gelbooru.com's wiki (howto:api, howto:cheatsheet) and safebooru.org's help for dapi.
"""

from pipeline.crawl.booru.api import LETTERS, RATINGS, Api, Search, below, join


def _query_gelbooru(search: Search, before: int) -> dict[str, str]:
    """Pages by number shift when posts are added, and have a largest number."""
    return {"tags": join(search.tags, below(before))}


GELBOORU = Api(
    name="gelbooru",
    documentation="https://gelbooru.com/index.php?page=wiki&s=view&id=18780",  # howto:api
    interval=1.0,  # none is stated
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
