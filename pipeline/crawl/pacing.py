"""Waits when a server asks for it: Retry-After, which Scrapy itself ignores."""

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

LONGEST_WAIT_S = 600.0


class RetryAfter:
    """Downloader middleware: no request to a host before the moment that it named."""

    def __init__(self) -> None:
        self._not_before: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls()

    async def process_request(self, request: Request) -> None:
        host = urlsplit(request.url).netloc
        while (wait := self._not_before.get(host, 0.0) - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    def process_response(self, request: Request, response: Response) -> Response:
        value = response.headers.get("Retry-After")
        if value is not None and response.status in (429, 503):
            until = time.monotonic() + parse_wait(value.decode("latin-1"), time.time())
            host = urlsplit(request.url).netloc
            self._not_before[host] = max(until, self._not_before.get(host, 0.0))
        return response


def parse_wait(value: str, now: float) -> float:
    """Seconds (0 to 600) that a Retry-After value asks for: a number or a date; 1 if unclear."""
    try:
        seconds = float(value) if value.strip().isdigit() else _date(value) - now
    except ValueError:
        seconds = 1.0
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _date(value: str) -> float:
    return parsedate_to_datetime(value).timestamp()
