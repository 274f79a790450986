"""Advice where a crawl brings no image, or not all: another run, or an option, if it helps."""

import pytest

from gan.errors import GanError
from pipeline.crawl.address_files import UrlList
from pipeline.crawl.build import build_dataset
from pipeline.crawl.data_folder import DataFolder
from pipeline.crawl.html.source import HtmlGallery
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.paths import Paths

AGAIN = "to resume"


@pytest.fixture
def scrape(tmp_path):
    """scrape(source): its dataset, made in a folder of its own."""

    def make(source):
        return build_dataset(source, DataFolder(Paths(tmp_path)), EarlierCrawl())[0]

    return make


def gallery(site, next="a", link="", **changes):
    policy = site.policy(**changes)
    return HtmlGallery(site.url("list"), ScrapeRequest(image="img", next=next, link=link), policy)


@pytest.mark.parametrize(
    ("path", "page", "may_pass"),
    [
        ("list", 403, False),
        ("list", "<p>nothing", False),
        ("list", 500, True),
        ("list", 429, True),
        ("robots.txt", 500, True),
        ("robots.txt", b"User-agent: *\nDisallow: /", False),
    ],
)
def test_another_run_is_advised_only_where_it_can_help(site, scrape, path, page, may_pass):
    site.pages[path] = page
    with pytest.raises(GanError, match=path.replace("list", site.url("list"))) as caught:
        scrape(gallery(site))
    assert (AGAIN in str(caught.value)) == may_pass


@pytest.mark.parametrize(
    ("changes", "status", "said", "may_pass"),
    [
        ({}, 404, "HTTP 404", False),
        ({}, 503, "HTTP 503", True),
        ({"max_pages": 1}, "", "raise it in params.yaml", False),
    ],
)
def test_a_listing_that_breaks_off_keeps_its_images_and_advises_another_run_where_it_helps(
    site, scrape, capsys, changes, status, said, may_pass
):
    site.pages |= {"list": "<img src=p1.png><a href=list2>", "list2": status}
    assert scrape(gallery(site, **changes)).counts["ok"] == 1
    line = capsys.readouterr().err
    assert "warning: the listing broke off: " in line
    assert said in line
    assert (AGAIN in line) == may_pass


def test_a_failed_linked_page_does_not_make_a_listing_that_ended_worth_another_run(site, scrape):
    site.pages |= {"list": "<b><a href=post></a></b><i><a href=list2></a></i>"}
    site.pages |= {"post": 500, "list2": 404}
    with pytest.raises(GanError, match="HTTP 404") as caught:
        scrape(gallery(site, "i a", "b a"))
    assert AGAIN not in str(caught.value)


def test_the_option_that_allows_a_private_server_is_named(site, scrape, tmp_path):
    stranger = CrawlPolicy(site.policy().params)
    listing = HtmlGallery(site.url("list"), ScrapeRequest(image="img"), stranger)
    addresses = tmp_path / "list.txt"
    addresses.write_text(site.url("p1.png"))
    for source in (listing, UrlList(addresses, ScrapeRequest(), stranger)):
        with pytest.raises(GanError, match="address is not public") as caught:
            scrape(source)
        assert str(caught.value).endswith("--allow-private HOST:PORT")
    assert not site.asked
