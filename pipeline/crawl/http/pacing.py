"""When a host may be asked again: the delay between requests, Retry-After, back-off, giving up.

Requests that wait for their host wait here, before they take one of the crawl's connections, so
a slow host holds up no other one. Scrapy's AutoThrottle is not used: it goes faster than the
delay allows or, with the delay as its floor, adds nothing to what a bound on connections does.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadCancelledError
from scrapy.http import Response
from scrapy.settings import BaseSettings
from scrapy.utils.httpobj import urlparse_cached

from gan.params.data import ScrapeParams
from pipeline.console import counted
from pipeline.crawl.archive.member import printable
from pipeline.crawl.http.failure_reasons import TROUBLED, Interrupted, Refused, read

PARAMS = "SCRAPE_PARAMS"
"""Setting: the ScrapeParams of the crawl."""

TELL = "TELL_ABOUT_HOSTS"
"""Setting: a function that takes a line about a host that had to be asked again."""

TOLD_HOSTS = 10
"""Of a list that names thousands of dead hosts the first ones say enough."""


@dataclass
class Host:
    """How one host fares. Times are seconds of the monotonic clock."""

    delay: float
    not_before: float = 0.0
    failures: int = 0
    is_told: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _doublings: int = 0
    _troubled_at: float = 0.0

    @property
    def is_ready(self) -> bool:
        return time.monotonic() >= self.not_before

    async def wait(self) -> None:
        """Until the host may be asked, or never will be."""
        while not self.over.is_set() and not self.is_ready:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.not_before - time.monotonic()):
                    await self.over.wait()

    def hold(self, seconds: float) -> None:
        self.not_before = max(self.not_before, time.monotonic() + seconds)

    def trouble(self, asked_at: float, first: float, longest: float) -> None:
        """Leave the host alone, twice as long as before; requests sent together count once."""
        if asked_at < self._troubled_at:
            return
        self._troubled_at = time.monotonic()
        self.hold(min(longest, first * 2.0**self._doublings))
        self._doublings = min(self._doublings + 1, 30)

    def succeed(self) -> None:
        self.failures = self._doublings = 0


class Pacing:
    """Downloader middleware, the last before the download: lets requests go one by one."""

    def __init__(self, params: ScrapeParams, tell: Callable[[str], None]) -> None:
        self._params = params
        self._tell = tell
        self._told = 0
        self._hosts: dict[str, Host] = {}
        self._connections = asyncio.Semaphore(params.connections)
        self._asked_at: dict[Request, float] = {}
        self._stopping = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(params_of(crawler.settings), crawler.settings[TELL])

    def host(self, request: Request) -> Host:
        """The host that a request is for; a crawl has one delay for all its ports."""
        name = (urlparse_cached(request).hostname or "").removesuffix(".")
        return self._hosts.setdefault(name, Host(self._params.delay))

    def slow_down(self, request: Request, delay: float) -> None:
        """Leave at least `delay` seconds, as far as `longest_wait` allows, between requests."""
        host = self.host(request)
        host.delay = max(host.delay, min(delay, self._params.longest_wait))
        host.hold(host.delay)

    def stop(self) -> None:
        """Let no request go any more, and end every wait."""
        self._stopping = True
        for host in self._hosts.values():
            host.over.set()

    async def process_request(self, request: Request) -> None:
        host = self.host(request)
        while True:
            await host.wait()
            await self._connections.acquire()
            if host.over.is_set() or host.is_ready:
                break
            self._connections.release()  # another request to this host went first
        if host.over.is_set() or self._stopping:
            self._connections.release()
            raise self._refusal()
        self._asked_at[request] = time.monotonic()
        host.hold(host.delay)

    def process_response(self, request: Request, response: Response) -> Response:
        asked_at = self._land(request)
        host = self.host(request)
        wait = _asked_wait(response)
        if wait is not None:
            host.hold(min(wait, self._params.longest_wait))
        if response.status in TROUBLED:
            self._fail(request, host, None if wait else asked_at)
            self._tell_once(request, host, f"HTTP {response.status}")
        else:
            host.succeed()
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        if request not in self._asked_at:
            return
        asked_at = self._land(request)
        host = self.host(request)
        if isinstance(exception, DownloadCancelledError):
            host.succeed()
        elif not isinstance(exception, Refused) or exception.status == "failed":
            self._fail(request, host, asked_at)
            status, reason = read(exception, self._params.max_bytes)
            if status == "failed" and not isinstance(exception, Refused):
                self._tell_once(request, host, reason)

    def _land(self, request: Request) -> float:
        self._connections.release()
        return self._asked_at.pop(request)

    def _fail(self, request: Request, host: Host, asked_at: float | None) -> None:
        """Back off, unless the host itself said for how long; give up after too many."""
        if asked_at is not None:
            host.trouble(asked_at, self._params.backoff, self._params.longest_wait)
        if request.meta.get("retry_times", 0) >= self._params.retries:
            host.failures += 1
        if host.failures >= self._params.give_up_after:
            host.over.set()

    def _tell_once(self, request: Request, host: Host, reason: str) -> None:
        """A line where a host must be waited for: tries and waits may take minutes, in silence."""
        tries = self._params.retries - request.meta.get("retry_times", 0)
        if host.is_told or tries <= 0 or self._stopping or self._told >= TOLD_HOSTS:
            return
        host.is_told = True
        self._told += 1
        name = printable(urlparse_cached(request).hostname or "")
        wait = max(0.0, host.not_before - time.monotonic())
        self._tell(
            f"{name}: {reason}; trying again in {wait:.1f} s, {counted(tries, 'time')} at most"
        )

    def _refusal(self) -> Exception:
        if self._stopping:
            return Interrupted("the crawl is being stopped")
        failures = f"{counted(self._params.give_up_after, 'failure')} in a row"
        return Refused("failed", f"its host was given up after {failures}")


def params_of(settings: BaseSettings) -> ScrapeParams:
    """The crawl's parameters; raises TypeError where a crawler was made without them."""
    params = settings[PARAMS]
    if not isinstance(params, ScrapeParams):
        raise TypeError(f"{PARAMS} is not set")
    return params


def parse_wait(value: str, now: float) -> float | None:
    """Seconds that a Retry-After value asks for, a number or a date; None if it is neither.

    `now` is in seconds since 1970.
    """
    try:
        if value.strip().isdecimal():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _asked_wait(response: Response) -> float | None:
    value = response.headers.get("Retry-After")
    if value is None or response.status < 300:
        return None
    return parse_wait(value.decode("latin-1"), time.time())
