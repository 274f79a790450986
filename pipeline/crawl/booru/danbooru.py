"""Danbooru's API, from its wiki.

The pages help:api, api:posts, help:common_url_parameters and help:cheatsheet.
"""

from pipeline.crawl.booru.api import LETTERS, Api, Search, join


def _query_danbooru(search: Search, before: int) -> dict[str, str]:
    """Ratings and `page` don't count towards Danbooru's limit of tags."""
    letters = [letter for letter in LETTERS if LETTERS[letter] in search.ratings]
    is_any = len(letters) == len(LETTERS) or not search.filters_ratings
    tags = join(search.tags, "" if is_any else f"rating:{','.join(letters)}")
    return {"tags": tags, **({"page": f"b{before}"} if before else {})}


DANBOORU = Api(
    name="danbooru",
    documentation="https://danbooru.donmai.us/wiki_pages/help:api",
    interval=1.0,  # "around 1 request per second"; 10 are the most
    hosts=(".donmai.us", ".aibooru.online"),
    path="/posts.json",
    post_page="/posts/{}",
    largest_page=200,
    ratings=LETTERS,
    query=_query_danbooru,
    tags="tag_string",
)
