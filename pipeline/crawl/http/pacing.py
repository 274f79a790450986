"""Pacing of requests to each host: delay, Retry-After, back-off, giving up.

Requests are delayed here, before they take one of the crawl's connections, so that a slow host
delays no other one. Scrapy's AutoThrottle is not used: it sends faster than the delay allows or,
with the delay as its minimum, adds nothing to a bound on connections.
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
from scrapy.utils.httpobj import urlparse_cached

from pipeline.console import count_noun
from pipeline.crawl.http.failure_reasons import (
    TEMPORARY_STATUSES,
    RequestInterrupted,
    RequestRefused,
    classify,
)
from pipeline.crawl.http.policy import API_INTERVAL, CrawlPolicy, policy_of
from pipeline.crawl.public_url import printable

MAX_REPORTED_HOSTS = 10
"""A list may name thousands of dead hosts; only the first ones get a line."""


@dataclass
class HostState:
    """Delay, failures and next request of one host; times are seconds of `clock`."""

    delay: float
    clock: Callable[[], float] = time.monotonic
    not_before: float = 0.0
    failures: int = 0
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    _doublings: int = 0
    _failed_at: float = 0.0

    @property
    def is_ready(self) -> bool:
        """True where a request may be sent now."""
        return self.clock() >= self.not_before

    async def wait(self) -> None:
        """Wait until a request may be sent, or the host is given up."""
        while not self.given_up.is_set() and not self.is_ready:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.not_before - self.clock()):
                    await self.given_up.wait()

    def delay_next(self, seconds: float) -> None:
        """Send no request for at least so many seconds from now."""
        self.not_before = max(self.not_before, self.clock() + seconds)

    def back_off(self, sent_at: float, first: float, longest: float) -> None:
        """Delay the next request twice as long as before; requests sent together count once."""
        if sent_at < self._failed_at:
            return
        self._failed_at = self.clock()
        self.delay_next(min(longest, first * 2.0**self._doublings))
        self._doublings = min(self._doublings + 1, 30)

    def reset(self) -> None:
        """Forget the failures, after an answer."""
        self.failures = self._doublings = 0


class Pacing:
    """Downloader middleware, the last before the download: sends requests one by one."""

    def __init__(self, policy: CrawlPolicy) -> None:
        self._params = policy.params
        self._report = policy.report
        self._paces_apis = policy.paces_apis
        self._reported: set[str] = set()
        self._hosts: dict[str, HostState] = {}
        self._connections = asyncio.Semaphore(policy.params.connections)
        self._sent_at: dict[Request, float] = {}
        self._stopping = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(policy_of(crawler))

    def host(self, request: Request) -> HostState:
        """The state of a request's host; all its ports share one delay."""
        name = (urlparse_cached(request).hostname or "").removesuffix(".")
        return self._hosts.setdefault(name, HostState(self._params.delay))

    def _api(self, request: Request) -> HostState:
        """The state of the API that a request asks, one page after the other."""
        interval = request.meta.get(API_INTERVAL, 0.0) if self._paces_apis else 0.0
        name = (urlparse_cached(request).hostname or "").removesuffix(".")
        key = f"API of {name}" if interval else ""
        return self._hosts.setdefault(key, HostState(interval))

    def slow_down(self, request: Request, delay: float) -> None:
        """Leave at least `delay` seconds, as far as `longest_wait` allows, between requests."""
        host = self.host(request)
        host.delay = max(host.delay, min(delay, self._params.longest_wait))
        host.delay_next(host.delay)

    def stop(self) -> None:
        """Send no more requests, and end every delay."""
        self._stopping = True
        for host in self._hosts.values():
            host.given_up.set()

    async def process_request(self, request: Request) -> None:
        """Delay a request until its host, its API and a connection are free."""
        host, api = self.host(request), self._api(request)
        await api.wait()
        while True:
            await host.wait()
            await self._connections.acquire()
            if host.given_up.is_set() or host.is_ready:
                break
            self._connections.release()  # another request to this host went first
        if self._stopping or host.given_up.is_set():
            self._connections.release()
            if self._stopping:
                raise RequestInterrupted("the crawl is being stopped")
            failures = f"{count_noun(self._params.give_up_after, 'failure')} in a row"
            raise RequestRefused("failed", f"its host was given up after {failures}")
        self._sent_at[request] = time.monotonic()
        host.delay_next(host.delay)
        api.delay_next(api.delay)

    def process_response(self, request: Request, response: Response) -> Response:
        """Learn from an answer when its host may be asked again."""
        self._connections.release()
        sent_at, host = self._sent_at.pop(request), self.host(request)
        asked = (response.headers.get("Retry-After") or b"").decode("latin-1")
        wait = parse_retry_after(asked, time.time()) if response.status >= 300 else None
        if wait is not None:
            host.delay_next(min(wait, self._params.longest_wait))
        if response.status in TEMPORARY_STATUSES:
            self._count_failure(request, host, None if wait else sent_at)
            self._report_once(request, host, f"HTTP {response.status}")
        else:
            host.reset()
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Back off from a host whose answer failed."""
        if request not in self._sent_at:
            return
        self._connections.release()
        sent_at, host = self._sent_at.pop(request), self.host(request)
        if isinstance(exception, DownloadCancelledError):
            host.reset()
        elif not isinstance(exception, RequestRefused):
            self._count_failure(request, host, sent_at)
            status, reason = classify(exception, self._params.max_bytes)
            if status == "failed":
                self._report_once(request, host, reason)
        elif exception.status == "failed":
            self._count_failure(request, host, sent_at)

    def _count_failure(self, request: Request, host: HostState, sent_at: float | None) -> None:
        """Back off, unless the host itself named a time; give up after too many failures."""
        if sent_at is not None:
            host.back_off(sent_at, self._params.backoff, self._params.longest_wait)
        if request.meta.get("retry_times", 0) >= self._params.retries:
            host.failures += 1
        if host.failures >= self._params.give_up_after:
            host.given_up.set()

    def _report_once(self, request: Request, host: HostState, reason: str) -> None:
        """Print a line at a host's first failure: tries and delays may take minutes in silence."""
        tries = self._params.retries - request.meta.get("retry_times", 0)
        name = printable(urlparse_cached(request).hostname or "")
        if name in self._reported or tries <= 0 or self._stopping:
            return
        if len(self._reported) < MAX_REPORTED_HOSTS:
            self._reported.add(name)
            wait = f"{max(0.0, host.not_before - time.monotonic()):.1f} s"
            times = f"{count_noun(tries, 'time')} at most"
            self._report(f"{name}: {reason}; trying again in {wait}, {times}")


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from `now` (since 1970) that a Retry-After names, by a number or a date, if any."""
    try:
        if value.strip().isdecimal():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
