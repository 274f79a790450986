"""The spider: walks a listing page by page and gives every image on it exactly one row."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import scrapy
from scrapy import Request
from scrapy.exceptions import (
    CloseSpider,
    DownloadCancelledError,
    DownloadTimeoutError,
    IgnoreRequest,
)
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError

from gan.errors import GanError
from pipeline.crawl.guard import Blocked
from pipeline.crawl.pictures import Listed, describe_limit, judge
from pipeline.crawl.sink import Sink
from pipeline.snapshot.manifest import Status

GONE = {404, 410}
REFUSED = {401, 403, 451}


@dataclass(frozen=True)
class ListingPage:
    """Images that one page of a listing names, and where the next page is (empty: no more)."""

    images: list[Listed]
    next_url: str


class Listing(Protocol):
    """A dialect: where a site's listing begins and how to read a page of it."""

    @property
    def first_url(self) -> str: ...

    def read(self, body: bytes) -> ListingPage:
        """Parse a page; ValueError where it is none."""


class ImageSpider(scrapy.Spider):
    """Crawls one listing into a sink; `error` says why it broke off, if it did.

    The next page is asked for after the images of this one, so what waits in memory is one page.
    The dupe filter is off for images: it drops redirects to a seen address without a word.
    """

    name = "images"

    def __init__(self, listing: Listing, sink: Sink, **settings: Any) -> None:
        super().__init__(**settings)
        self.error: BaseException | None = None
        self.unsettled: set[str] = set()
        self._listing = listing
        self._sink = sink

    async def start(self) -> AsyncIterator[Request]:
        yield self._page(self._listing.first_url)

    def _page(self, url: str) -> Request:
        return Request(
            url, self._on_page, errback=self._on_page_error, priority=-1000, dont_filter=True
        )

    def _on_page(self, response: Response) -> Iterator[Request]:
        try:
            page = self._listing.read(response.body)
        except ValueError as error:
            self.error = GanError(f"{response.url}: not the listing that was expected: {error}")
            return
        for listed in page.images:
            if not self._sink.is_done(listed) and listed.url not in self.unsettled:
                self.unsettled.add(listed.url)
                yield self._image(listed)
        if page.next_url:
            yield self._page(page.next_url)

    def _on_page_error(self, failure: Any) -> None:
        status, reason = explain(failure.value)
        address = failure.request.url
        self.error = GanError(f"{address}: listing {status} ({reason}); run again to go on")

    def _image(self, listed: Listed) -> Request:
        return Request(
            listed.fetch,
            self._on_image,
            errback=self._on_image_error,
            cb_kwargs={"listed": listed},
            dont_filter=True,
        )

    async def _on_image(self, response: Response, listed: Listed) -> None:
        row = await asyncio.to_thread(judge, listed, response.body)
        try:
            self._sink.add(listed, row, response.body)
        except OSError as error:
            self.error = GanError(f"the disk takes no more: {error}; make room and run again")
            raise CloseSpider("disk") from None
        self.unsettled.remove(listed.url)

    def _on_image_error(self, failure: Any) -> None:
        status, reason = explain(failure.value)
        listed = failure.request.cb_kwargs["listed"]
        self._sink.reject(listed, status, reason)
        self.unsettled.remove(listed.url)


def explain(error: BaseException) -> tuple[Status, str]:
    """Status and reason for a request that brought no picture; reasons name no address."""
    match error:
        case HttpError():
            code = error.response.status
            # Redirects are followed; one that is left leads to no http address.
            refused = code in REFUSED or 300 <= code < 400
            status: Status = "gone" if code in GONE else "blocked" if refused else "failed"
            return status, f"HTTP {code}"
        case Blocked():
            return "blocked", str(error)
        case DownloadCancelledError():
            return "too_large", describe_limit()
        case DownloadTimeoutError():
            return "failed", "timed out"
        case IgnoreRequest():
            return _explain_ignored(str(error))
    return "failed", type(error).__name__


def _explain_ignored(text: str) -> tuple[Status, str]:
    lower = text.lower()
    if "robots" in lower:
        return "blocked", "robots.txt"
    if "redirect" in lower:
        return "blocked", "too many redirects"
    if "size" in lower or "exceed" in lower or "limit" in lower:
        return "too_large", describe_limit()
    return "failed", "ignored by the crawler"
