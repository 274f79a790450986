"""Obeys robots.txt as RFC 9309 has it, Crawl-delay too.

Scrapy's own middleware takes a robots.txt that can't be had for leave to fetch everything; the
RFC takes an unreachable one, or an error of the server, for a refusal of everything.
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

from pipeline.crawl.http.failure_reasons import TROUBLED, Interrupted, Refused, explain
from pipeline.crawl.http.pacing import Pacing, params_of

PRODUCT = "avatar-gan"
"""The name under which a robots.txt may address this crawler."""

READ_BYTES = 500 * 1024
MOST_HOSTS = 2000
ASKING = "asks_for_robots_txt"


@dataclass(frozen=True)
class Rules:
    """What one origin's robots.txt allows: everything where neither field is set."""

    parser: ProtegoRobotParser | None = None
    refusal: Exception | None = None

    def require(self, url: str) -> None:
        """Raises the refusal where `url` must not be asked for."""
        if self.refusal is not None:
            raise self.refusal.with_traceback(None)  # it would grow with each request
        if self.parser is not None and not self.parser.allowed(url, PRODUCT):
            raise Refused("blocked", "robots.txt")


EVERYTHING = Rules()


class Robots:
    """Downloader middleware: asks each origin for its robots.txt once, before anything else."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._max_bytes = params_of(crawler.settings).max_bytes
        self._rules: dict[str, asyncio.Task[Rules]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        if request.meta.get(ASKING):
            return
        parts = urlparse_cached(request)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._rules:
            self._rules[origin] = asyncio.ensure_future(self._ask(origin, request))
        rules = await self._rules[origin]
        rules.require(request.url)
        if len(self._rules) > MOST_HOSTS:
            del self._rules[next(iter(self._rules))]

    async def _ask(self, origin: str, request: Request) -> Rules:
        robots = Request(
            f"{origin}/robots.txt",
            callback=NO_CALLBACK,
            priority=request.priority,
            meta={ASKING: True},
        )
        try:
            response = await self._crawler.engine.download_async(robots)
        except Exception as error:
            return self._without_answer(error)
        return self._read(response, request)

    def _without_answer(self, error: Exception) -> Rules:
        if isinstance(error, Interrupted) or getattr(error, "status", "") == "blocked":
            return Rules(refusal=error)
        _, reason = explain(error, self._max_bytes)
        if reason == "too many redirects":
            return EVERYTHING
        return Rules(refusal=Refused("failed", f"robots.txt: {reason}"))

    def _read(self, response: Response, request: Request) -> Rules:
        if 400 <= response.status < 500 and response.status not in TROUBLED:
            return EVERYTHING
        if response.status != 200:
            return Rules(refusal=Refused("failed", f"robots.txt: HTTP {response.status}"))
        parser = ProtegoRobotParser(response.body[:READ_BYTES], None)
        pacing = self._crawler.get_downloader_middleware(Pacing)
        if pacing is not None and (delay := parser.crawl_delay(PRODUCT)) is not None:
            pacing.slow_down(request, delay)
        return Rules(parser)
