"""Runs Scrapy inside this process, on asyncio, with the limits every crawl obeys."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from scrapy.crawler import AsyncCrawlerRunner, Crawler

from gan.errors import GanError
from pipeline.crawl.guard import ALLOWED
from pipeline.crawl.pictures import MAX_BYTES
from pipeline.crawl.sink import Sink
from pipeline.crawl.spider import ImageSpider, Listing

USER_AGENT = "avatar-gan/0.1 (image crawler; obeys robots.txt and Retry-After)"
STOP_WITHIN_S = 3.0


@dataclass(frozen=True)
class Manners:
    """How hard a host is asked, and which private host:port may be asked at all."""

    delay_s: float = 0.25
    connections: int = 8
    allowed: tuple[str, ...] = ()
    timeout_s: float = 30.0


def crawl(listing: Listing, sink: Sink, manners: Manners) -> None:
    """Walk `listing` to its end; each image that isn't done gets a row.

    Raises GanError where the listing itself can't be read. Ctrl-C stops cleanly with
    KeyboardInterrupt; what is in the journal stays, and the same call goes on from there.
    """
    asyncio.run(_crawl(listing, sink, manners))


async def _crawl(listing: Listing, sink: Sink, manners: Manners) -> None:
    runner = AsyncCrawlerRunner(_settings(manners))
    crawler = runner.create_crawler(ImageSpider)
    task = runner.crawl(crawler, listing=listing, sink=sink)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _stop(crawler, task)
        raise
    spider = crawler.spider
    if not isinstance(spider, ImageSpider):
        raise GanError("the crawler did not start")
    if spider.error is not None:
        raise spider.error
    # Scrapy logs what a callback raises and goes on; here that is a crawl that isn't whole.
    if spider.unsettled:
        raise GanError(f"{len(spider.unsettled)} images were left without a row; run again")


async def _stop(crawler: Crawler, task: "asyncio.Task[None]") -> None:
    """Let go of the requests in flight, so that no connection is left open behind us."""
    stopping = asyncio.ensure_future(crawler.stop_async())
    await asyncio.wait({stopping, task}, timeout=STOP_WITHIN_S)


def _settings(manners: Manners) -> dict[str, Any]:
    logging.getLogger("scrapy").setLevel(logging.CRITICAL)
    http = "scrapy.core.downloader.handlers._aiohttp.AiohttpDownloadHandler"
    return {
        # Twisted's reactor starts once a process; without it a process can crawl many times.
        "TWISTED_REACTOR_ENABLED": False,
        "DOWNLOAD_HANDLERS": {
            "http": http,
            "https": http,
            **dict.fromkeys(("data", "file", "ftp", "s3")),
        },
        "DOWNLOADER_MIDDLEWARES": {
            "pipeline.crawl.guard.AddressGuard": 50,
            "pipeline.crawl.pacing.RetryAfter": 560,
            "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
            "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
        },
        ALLOWED: list(manners.allowed),
        "USER_AGENT": USER_AGENT,
        "ROBOTSTXT_OBEY": True,
        "DOWNLOAD_DELAY": manners.delay_s,
        "DOWNLOAD_DELAY_JITTER": 0,
        # Scrapy starts this many tasks for each response, and no callback here yields items.
        "CONCURRENT_ITEMS": 1,
        "CONCURRENT_REQUESTS": manners.connections,
        "CONCURRENT_REQUESTS_PER_DOMAIN": manners.connections,
        "DOWNLOAD_TIMEOUT": manners.timeout_s,
        "DOWNLOAD_MAXSIZE": MAX_BYTES,
        "DOWNLOAD_WARNSIZE": 0,
        "REDIRECT_MAX_TIMES": 5,
        "RETRY_TIMES": 3,
        "COOKIES_ENABLED": False,
        # A proxy from the environment can't reach this machine's own addresses.
        "HTTPPROXY_ENABLED": not manners.allowed,
        "TELNETCONSOLE_ENABLED": False,
        "URLLENGTH_LIMIT": 0,
        "LOG_ENABLED": False,
        "STATS_DUMP": False,
        "EXTENSIONS": dict.fromkeys(
            (
                "scrapy.extensions.logstats.LogStats",
                "scrapy.extensions.memusage.MemoryUsage",
                "scrapy.extensions.throttle.AutoThrottle",
            )
        ),
    }
