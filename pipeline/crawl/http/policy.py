"""The behaviour of a crawl, as every part of the crawler reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from scrapy.crawler import Crawler

from gan.params.data import ScrapeParams
from pipeline.console import say

PRODUCT = "avatar-gan"
"""The name of this crawler in a robots.txt."""

OBEYS = (
    "obeys Crawl-delay, Retry-After and robots.txt, the last but for documented listing APIs of "
    "the host that its user named"
)
"""Rules of politeness, as the User-Agent states them."""

API_INTERVAL = "api_interval"
"""Request meta: the `interval` of a listing.PageRequest."""

POLICY = "CRAWL_POLICY"
"""Scrapy's setting that holds the policy."""


@dataclass(frozen=True)
class CrawlPolicy:
    """The behaviour of a crawl: settings, private host:port that are allowed, name resolution.

    `allowed` is spelled as by `address_guard.normalise`; `report` gets a line when a host has to
    be asked again for the first time. `paces_apis` keeps the intervals that APIs ask for,
    `allow_noai` takes pictures that their site keeps from AI.
    """

    params: ScrapeParams
    allowed: frozenset[str] = frozenset()
    resolver: Callable[[], AbstractResolver] = ThreadedResolver
    report: Callable[[str], None] = say
    paces_apis: bool = True
    allow_noai: bool = False

    @property
    def user_agent(self) -> str:
        contact = f"; {self.params.contact}" if self.params.contact else ""
        about = f"image crawler; {OBEYS}{contact}"
        return f"{PRODUCT}/{version(PRODUCT)} ({about})"


def policy_of(crawler: Crawler) -> CrawlPolicy:
    """The policy that a crawler was made with."""
    policy = crawler.settings[POLICY]
    assert isinstance(policy, CrawlPolicy)
    return policy
