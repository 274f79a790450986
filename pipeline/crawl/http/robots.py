"""Obedience to robots.txt as RFC 9309 demands, and to Crawl-delay.

Scrapy's own middleware fetches everything where robots.txt can't be had; the RFC forbids
everything where it is unreachable or the server has an error.
"""

import asyncio
from dataclasses import dataclass
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.robotstxt import ProtegoRobotParser
from scrapy.utils.httpobj import urlparse_cached

from pipeline.crawl.http.failure_reasons import (
    TEMPORARY_STATUSES,
    RequestInterrupted,
    RequestRefused,
    explain,
)
from pipeline.crawl.http.pacing import Pacing, params_of

PRODUCT = "avatar-gan"
"""The name of this crawler in a robots.txt."""

MAX_BYTES = 500 * 1024
MAX_ORIGINS = 2000
ROBOTS_REQUEST = "is_robots_txt"


@dataclass(frozen=True)
class Rules:
    """The rules of one origin's robots.txt: everything is allowed where neither field is set."""

    parser: ProtegoRobotParser | None = None
    refusal: Exception | None = None

    def require(self, url: str) -> None:
        """Raise the refusal where `url` must not be fetched."""
        if self.refusal is not None:
            raise self.refusal.with_traceback(None)  # it would grow with each request
        if self.parser is not None and not self.parser.allowed(url, PRODUCT):
            raise RequestRefused("blocked", "robots.txt")


ALLOW_ALL = Rules()


class Robots:
    """Downloader middleware: fetches each origin's robots.txt once, before anything else."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._max_bytes = params_of(crawler.settings).max_bytes
        self._rules: dict[str, asyncio.Task[Rules]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        if request.meta.get(ROBOTS_REQUEST):
            return
        parts = urlparse_cached(request)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._rules:
            self._rules[origin] = asyncio.ensure_future(self._fetch(origin, request))
        rules = await self._rules[origin]
        rules.require(request.url)
        if len(self._rules) > MAX_ORIGINS:
            del self._rules[next(iter(self._rules))]

    async def _fetch(self, origin: str, request: Request) -> Rules:
        robots = Request(
            f"{origin}/robots.txt",
            callback=NO_CALLBACK,
            priority=request.priority,
            meta={ROBOTS_REQUEST: True},
        )
        try:
            response = await self._crawler.engine.download_async(robots)
        except Exception as error:
            return self._without_answer(error)
        return self._read(response, request)

    def _without_answer(self, error: Exception) -> Rules:
        if isinstance(error, RequestInterrupted) or getattr(error, "status", "") == "blocked":
            return Rules(refusal=error)
        _, reason = explain(error, self._max_bytes)
        if reason == "too many redirects":
            return ALLOW_ALL
        return Rules(refusal=RequestRefused("failed", f"robots.txt: {reason}"))

    def _read(self, response: Response, request: Request) -> Rules:
        if 400 <= response.status < 500 and response.status not in TEMPORARY_STATUSES:
            return ALLOW_ALL
        if response.status != 200:
            return Rules(refusal=RequestRefused("failed", f"robots.txt: HTTP {response.status}"))
        parser = ProtegoRobotParser(response.body[:MAX_BYTES], None)
        pacing = self._crawler.get_downloader_middleware(Pacing)
        if pacing is not None and (delay := parser.crawl_delay(PRODUCT)) is not None:
            pacing.slow_down(request, delay)
        return Rules(parser)
