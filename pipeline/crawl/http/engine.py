"""Runs Scrapy inside this process, on asyncio, with the limits every crawl obeys."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from scrapy import signals
from scrapy.crawler import AsyncCrawlerRunner, Crawler

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.console import counted, say
from pipeline.crawl.http.address_guard import ALLOWED, normalise
from pipeline.crawl.http.download_handler import RESOLVER
from pipeline.crawl.http.failure_reasons import TROUBLED
from pipeline.crawl.http.listing import Listing
from pipeline.crawl.http.pacing import PARAMS, TELL, Pacing
from pipeline.crawl.http.robots import PRODUCT
from pipeline.crawl.http.spider import ImageSpider
from pipeline.crawl.sink import Sink

STOP_WITHIN_S = 3.0
AHEAD = 16
"""Images in the queue for each connection, where a source knows them all from the start."""

HOSTS = 16
"""Hosts that may be waited for at a time without holding up others."""


@dataclass(frozen=True)
class Manners:
    """How a crawl behaves, which private host:port it may ask at all, and who resolves names.

    `tell` gets a line when a host has to be asked again for the first time.
    """

    params: ScrapeParams
    allowed: frozenset[str] = frozenset()
    resolver: Callable[[], AbstractResolver] = ThreadedResolver
    tell: Callable[[str], None] = say

    @property
    def user_agent(self) -> str:
        contact = f"; {self.params.contact}" if self.params.contact else ""
        about = f"image crawler; obeys robots.txt and Retry-After{contact}"
        return f"{PRODUCT}/{version(PRODUCT)} ({about})"


def crawl(listing: Listing, sink: Sink, manners: Manners) -> None:
    """Walk `listing` to its end; each image that isn't done gets a row.

    Raises ListingError where the listing itself breaks off, GanError where nothing more can be
    kept. Ctrl-C stops cleanly with KeyboardInterrupt; what is in the journal stays, and the same
    call goes on from there.
    """
    asyncio.run(_crawl(listing, sink, manners))


async def _crawl(listing: Listing, sink: Sink, manners: Manners) -> None:
    runner = AsyncCrawlerRunner(_settings(manners, sink))
    crawler = runner.create_crawler(ImageSpider)
    errors: list[BaseException] = []

    def note(failure: Any) -> None:
        errors.append(failure.value)

    crawler.signals.connect(note, signals.spider_error)
    ahead = AHEAD * manners.params.connections
    task = runner.crawl(
        crawler, listing=listing, sink=sink, max_pages=manners.params.max_pages, ahead=ahead
    )
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _stop(crawler, task)
        raise
    spider = crawler.spider
    if not isinstance(spider, ImageSpider):
        raise GanError("the crawler did not start")
    # Scrapy logs what a listing or a callback raises and goes on; such a crawl isn't whole.
    for error in (*errors, spider.error):
        if error is not None:
            raise error
    if spider.unsettled:
        images = counted(len(spider.unsettled), "image")
        raise GanError(f"{images} left without a row; run again")


async def _stop(crawler: Crawler, task: "asyncio.Task[None]") -> None:
    """End the waits, and let go of the requests in flight, so that no connection stays open."""
    if crawler.engine is not None and (pacing := crawler.get_downloader_middleware(Pacing)):
        pacing.stop()
    stopping = asyncio.ensure_future(crawler.stop_async())
    await asyncio.wait({stopping, task}, timeout=STOP_WITHIN_S)


def _settings(manners: Manners, sink: Sink) -> dict[str, Any]:
    logging.getLogger("scrapy").setLevel(logging.CRITICAL)
    return {
        # Twisted's reactor starts once a process; without it a process can crawl many times.
        "TWISTED_REACTOR_ENABLED": False,
        **_safety(manners, sink),
        **_politeness(manners),
        **_queue(manners.params),
        **_silence(),
    }


def _safety(manners: Manners, sink: Sink) -> dict[str, Any]:
    """Which hosts are connected to, how, and how much of an answer is read."""
    http = "pipeline.crawl.http.download_handler.GuardedHandler"
    others = dict.fromkeys(("data", "file", "ftp", "s3"))
    return {
        "DOWNLOAD_HANDLERS": {"http": http, "https": http, **others},
        ALLOWED: sorted(normalise(each) for each in manners.allowed),
        RESOLVER: manners.resolver,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_TIMEOUT": manners.params.timeout,
        "DOWNLOAD_MAXSIZE": sink.limits.bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "REDIRECT_MAX_TIMES": manners.params.redirects,
        "REDIRECT_ENABLED": manners.params.redirects > 0,
        "COOKIES_ENABLED": False,
        # The address of a listing may hold a key, and the images' hosts have no use for it.
        "REFERER_ENABLED": False,
        # A proxy from the environment can't reach this machine's own addresses.
        "HTTPPROXY_ENABLED": not manners.allowed,
        "URLLENGTH_LIMIT": 0,
    }


def _politeness(manners: Manners) -> dict[str, Any]:
    """Who we say we are, what we obey, and how soon a host is asked again."""
    return {
        PARAMS: manners.params,
        TELL: manners.tell,
        "USER_AGENT": manners.user_agent,
        "DOWNLOADER_MIDDLEWARES": {
            "pipeline.crawl.http.address_guard.AddressGuard": 50,
            "pipeline.crawl.http.robots.Robots": 100,
            "pipeline.crawl.http.pacing.Pacing": 950,
            "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
            "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
        },
        "RETRY_TIMES": manners.params.retries,
        "RETRY_HTTP_CODES": sorted(TROUBLED),
    }


def _queue(params: ScrapeParams) -> dict[str, Any]:
    """How many requests are under way, and in which order they start."""
    return {
        "SCHEDULER_PRIORITY_QUEUE": "pipeline.crawl.http.host_queue.HostQueue",
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
        # Waiting requests count, too; no more than `connections` are ever in flight.
        "CONCURRENT_REQUESTS": HOSTS * params.connections,
        "CONCURRENT_REQUESTS_PER_DOMAIN": params.connections,
        # Scrapy starts this many tasks for each response, and no callback here yields items.
        "CONCURRENT_ITEMS": 1,
        # At once: with a line of failures each before its last try, nobody would give up.
        "RETRY_PRIORITY_ADJUST": 1,
        "REDIRECT_PRIORITY_ADJUST": 1,
    }


def _silence() -> dict[str, Any]:
    extensions = ("logstats.LogStats", "memusage.MemoryUsage", "throttle.AutoThrottle")
    return {
        "LOG_ENABLED": False,
        "STATS_DUMP": False,
        "TELNETCONSOLE_ENABLED": False,
        "EXTENSIONS": {f"scrapy.extensions.{name}": None for name in extensions},
    }
