"""Web addresses of sources: no secrets in them, since they are recorded."""

import pytest

from gan.errors import GanError
from pipeline.crawl.registry import source_of
from pipeline.crawl.request import ScrapeRequest

GALLERY = {"image": "img"}


@pytest.fixture
def read_source(make_params):
    """read_source(source, **options): the source of these options, with the shipped settings."""
    params = make_params({}).scrape
    return lambda source, **more: source_of(ScrapeRequest(source=source, **more), params)


@pytest.mark.parametrize(
    "field",
    ["api_key", "apikey", "API-Key", "token", "access_token", "password", "pass%77ord", "key"],
)
@pytest.mark.parametrize("kind", ["booru", "gallery"])
def test_an_address_that_logs_in_is_refused_in_one_line_without_the_secret(
    read_source, kind, field
):
    more = GALLERY if kind == "gallery" else {"limit": 1}
    with pytest.raises(GanError, match="must hold no secret") as caught:
        read_source(f"{kind}:https://example.org/list?page=2&{field}=hunter2", **more)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "query", ["page=2&user_id=7", "author=me&keywords=blue", "token=", "tags=api_key", "monkey=1"]
)
def test_an_address_with_harmless_fields_is_taken(read_source, query):
    source = read_source(f"gallery:https://example.org/list?{query}", **GALLERY)
    assert query in source.identity["source"]
