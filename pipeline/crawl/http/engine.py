"""Scrapy inside this process, on asyncio, with the settings that every crawl has."""

import asyncio
import logging
from typing import Any

from scrapy import signals
from scrapy.crawler import AsyncCrawlerRunner, Crawler

from gan.errors import GanError
from pipeline.console import count_noun, say
from pipeline.crawl.http.failure_reasons import TEMPORARY_STATUSES
from pipeline.crawl.http.listing import Listing
from pipeline.crawl.http.pacing import Pacing
from pipeline.crawl.http.policy import POLICY, CrawlPolicy
from pipeline.crawl.http.spider import ImageSpider
from pipeline.crawl.sink import Sink

STOP_WITHIN_S = 3.0
HOSTS = 16
"""Hosts that may delay their requests at a time without delaying those of others."""


def crawl(listing: Listing, sink: Sink, policy: CrawlPolicy) -> None:
    """Walk `listing` to its end; each image that isn't done gets an entry.

    Raises ListingError where the listing itself breaks off, GanError where nothing more can be
    kept, and the exceptions of the listing. Ctrl-C stops cleanly with KeyboardInterrupt; the
    journal stays, and the same call resumes from it.
    """
    asyncio.run(_crawl(listing, sink, policy))


async def _crawl(listing: Listing, sink: Sink, policy: CrawlPolicy) -> None:
    logging.getLogger("scrapy").setLevel(logging.CRITICAL)
    runner = AsyncCrawlerRunner(_settings(policy, sink))
    crawler = runner.create_crawler(ImageSpider)
    errors: list[BaseException] = []

    def note(failure: Any) -> None:
        errors.append(failure.value)

    crawler.signals.connect(note, signals.spider_error)
    task = runner.crawl(crawler, listing=listing, sink=sink, policy=policy)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _stop(crawler, task)
        raise
    for reason, count in sorted(listing.left_out.items()):
        say(f"{count} left out: {reason}")
    spider = crawler.spider
    assert isinstance(spider, ImageSpider)
    # Scrapy only logs exceptions of a listing or a callback; such a crawl isn't complete.
    for error in (*errors, spider.error):
        if error is not None:
            raise error
    if spider.unsettled:
        images = count_noun(len(spider.unsettled), "image")
        raise GanError(f"{images} left without an entry; run again")


async def _stop(crawler: Crawler, task: "asyncio.Task[None]") -> None:
    """End the delays and drop the requests in flight, so that no connection stays open."""
    try:
        pacing = crawler.get_downloader_middleware(Pacing)
    except RuntimeError:  # a signal came before the crawl has an engine
        return
    if pacing is not None:
        pacing.stop()
    stopping = asyncio.ensure_future(crawler.stop_async())
    await asyncio.wait({stopping, task}, timeout=STOP_WITHIN_S)


def _settings(policy: CrawlPolicy, sink: Sink) -> dict[str, Any]:
    params = policy.params
    http = "pipeline.crawl.http.download_handler.GuardedHandler"
    return {
        POLICY: policy,
        # Twisted's reactor starts once a process; without it a process can crawl many times.
        "TWISTED_REACTOR_ENABLED": False,
        # Connections
        "DOWNLOAD_HANDLERS": {
            **dict.fromkeys(("http", "https"), http),
            **dict.fromkeys(("data", "file", "ftp", "s3")),
        },
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_TIMEOUT": params.timeout,
        "DOWNLOAD_MAXSIZE": sink.limits.bytes,
        "REDIRECT_MAX_TIMES": params.redirects,
        "REDIRECT_ENABLED": params.redirects > 0,
        "COOKIES_ENABLED": False,
        # It would name the listing, whose address may have a key; see the Referer middleware.
        "REFERER_ENABLED": False,
        # A proxy from the environment can't reach this machine's own addresses.
        "HTTPPROXY_ENABLED": not policy.allowed,
        "URLLENGTH_LIMIT": 0,
        # Politeness
        "USER_AGENT": policy.user_agent,
        "DOWNLOADER_MIDDLEWARES": {
            "pipeline.crawl.http.address_guard.AddressGuard": 50,
            "pipeline.crawl.http.robots.Robots": 100,
            "pipeline.crawl.http.referer.Referer": 150,
            "pipeline.crawl.http.pacing.Pacing": 950,
            "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
        },
        "RETRY_TIMES": params.retries,
        "RETRY_HTTP_CODES": sorted(TEMPORARY_STATUSES),
        # Number of requests under way, and their order
        "SCHEDULER_PRIORITY_QUEUE": "pipeline.crawl.http.host_queue.HostQueue",
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
        # Delayed requests count, too; no more than `connections` are ever in flight.
        "CONCURRENT_REQUESTS": HOSTS * params.connections,
        "CONCURRENT_REQUESTS_PER_DOMAIN": params.connections,
        # Scrapy starts this many tasks for each response, and no callback here yields items.
        "CONCURRENT_ITEMS": 1,
        # At once: if each of many failures waited for its last try, no host would be given up.
        "RETRY_PRIORITY_ADJUST": 1,
        "REDIRECT_PRIORITY_ADJUST": 1,
        "TELNETCONSOLE_ENABLED": False,
    }
