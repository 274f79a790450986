"""Obedience to robots.txt as RFC 9309 demands, and to Crawl-delay.

The listing of a documented API, on the host that the user named, is no crawl: there robots.txt
forbids nothing, but its Crawl-delay counts. A redirect from there to another address is a crawl.

Scrapy's own middleware fetches everything where robots.txt can't be had; the RFC forbids
everything where it is unreachable or the server has an error.
"""

import asyncio
from typing import Self
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http.request import NO_CALLBACK
from scrapy.robotstxt import ProtegoRobotParser
from scrapy.utils.httpobj import urlparse_cached

from pipeline.crawl.http.failure_reasons import (
    FORBIDDEN,
    TEMPORARY_STATUSES,
    RequestInterrupted,
    RequestRefused,
    explain,
)
from pipeline.crawl.http.pacing import Pacing
from pipeline.crawl.http.policy import API_INTERVAL, PRODUCT, policy_of

MAX_BYTES = 500 * 1024
MAX_ORIGINS = 2000
ROBOTS_REQUEST = "is_robots_txt"
UNREADABLE = "robots.txt: HTTP"

Rules = ProtegoRobotParser | Exception | None
"""The rules of one origin: a parsed robots.txt, the refusal of everything, or no rule."""


class Robots:
    """Downloader middleware: fetches each origin's robots.txt once, before anything else."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._max_bytes = policy_of(crawler).params.max_bytes
        self._rules: dict[str, asyncio.Task[Rules]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Refuse what robots.txt forbids."""
        if request.meta.get(ROBOTS_REQUEST):
            return
        parts = urlparse_cached(request)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._rules:
            self._rules[origin] = asyncio.ensure_future(self._fetch(origin, request))
        rules = await self._rules[origin]
        if isinstance(rules, Exception):
            if _is_api(request) and str(rules).startswith(UNREADABLE):
                return
            raise rules.with_traceback(None)  # it would grow with each request
        allowed = rules is None or _is_api(request) or rules.allowed(request.url, PRODUCT)
        if not allowed:
            raise RequestRefused("blocked", FORBIDDEN)
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
            if isinstance(error, RequestInterrupted) or getattr(error, "status", "") == "blocked":
                return error
            _, reason = explain(error, self._max_bytes)
            if reason == "too many redirects":
                return None
            return RequestRefused("failed", f"robots.txt: {reason}")
        if 400 <= response.status < 500 and response.status not in TEMPORARY_STATUSES:
            return None
        if response.status != 200:
            return RequestRefused("failed", f"{UNREADABLE} {response.status}")
        parser = ProtegoRobotParser(response.body[:MAX_BYTES], None)
        pacing = self._crawler.get_downloader_middleware(Pacing)
        if pacing is not None and (delay := parser.crawl_delay(PRODUCT)) is not None:
            pacing.slow_down(request, delay)
        return parser


def _is_api(request: Request) -> bool:
    """True for the listing of an API, and where it only changed from http to https."""
    asked = next(iter(request.meta.get("redirect_urls", ())), request.url)
    return bool(request.meta.get(API_INTERVAL)) and _place(request.url) == _place(asked)


def _place(url: str) -> tuple[str | None, int | None, str, str]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.hostname, parts.port if parts.port != default else None, parts.path, parts.query
