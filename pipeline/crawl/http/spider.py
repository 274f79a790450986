"""The spider: walks a listing page by page and gives every image on it exactly one row."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy import Request
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError

from gan.errors import GanError
from pipeline.crawl.http.address_guard import KEEP
from pipeline.crawl.http.failure_reasons import NO_ADDRESS, Interrupted, explain, is_passing
from pipeline.crawl.http.listing import Listing, ListingPage, PageRequest
from pipeline.crawl.image_check import Listed
from pipeline.crawl.sink import NO_TRACE, Sink, Trace

NEXT, DETAIL, IMAGE = -1000, -500, 0
"""Priorities: images before the pages that lead to more of them, so one page waits in memory."""


STOPPED = (Interrupted, asyncio.CancelledError)
"""What ends a request because the whole crawl ends: that is no outcome of its page or image."""

FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_EXPECTED = "not the listing that was expected"


class ListingError(GanError):
    """The listing broke off; the rows of what was listed until then are there.

    `may_pass` is true where the same crawl may get further at another time.
    """

    def __init__(self, text: str, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


class ImageSpider(scrapy.Spider):
    """Crawls one listing into a sink; `error` says why it broke off, if it did.

    The dupe filter is off: it drops redirects to a seen address without a word.
    """

    name = "images"

    def __init__(
        self, listing: Listing, sink: Sink, max_pages: int, ahead: int, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.error: GanError | None = None
        self.unsettled: set[str] = set()
        self._listing = listing
        self._sink = sink
        self._max_pages = max_pages
        self._ahead = ahead
        self._may_pass = False
        self._asked: set[str] = set()
        self._settled = asyncio.Event()

    async def start(self) -> AsyncIterator[Request]:
        """Images that are known from the start, only so fast as they are fetched; then pages."""
        found = self._listing.start()
        for listed in found.images:
            for request in self._image(listed):
                yield request
            while len(self.unsettled) >= self._ahead:
                self._settled.clear()
                await self._settled.wait()
        for page in found.pages:
            for request in self._page(page):
                yield request

    def _page(self, page: PageRequest) -> Iterator[Request]:
        """A page that wasn't asked for yet: a listing that leads back to itself ends here."""
        if page.url in self._asked:
            return
        if len(self._asked) >= self._max_pages:
            limit = f"scrape.max_pages = {self._max_pages} listing pages were read"
            self.error = ListingError(f"{limit}; raise it in params.yaml to go on")
            return
        self._asked.add(page.url)
        try:
            request = Request(
                page.url,
                self._on_page,
                errback=self._on_page_error,
                headers=dict(page.headers),
                cb_kwargs={"page": page},
                meta={KEEP: bool(page.shown)},
                priority=DETAIL if page.detail else NEXT,
                dont_filter=True,
            )
        except ValueError:
            yield from self._turn(page, NO_ADDRESS)
            return
        yield request

    def _on_page(self, response: Response, page: PageRequest) -> Iterator[Request]:
        try:
            found = self._listing.read(page, response)
            images = list(found.images)
        except ValueError as error:
            yield from self._turn(page, f"{NOT_EXPECTED}: {error}")
            return
        yield from self._follow(images, found)

    def _follow(self, images: list[Listed], found: ListingPage) -> Iterator[Request]:
        for listed in images:
            yield from self._image(listed)
        for page in found.pages:
            yield from self._page(page)

    def _on_page_error(self, failure: Any) -> Iterator[Request]:
        if isinstance(failure.value, STOPPED):
            return
        status, reason = explain(failure.value, self._sink.limits.bytes)
        page = failure.request.cb_kwargs["page"]
        yield from self._turn(page, reason, is_passing(status, reason))

    def _turn(self, page: PageRequest, why: str, may_pass: bool = False) -> Iterator[Request]:
        """Another page in place of one that can't be had; without one the listing ends here."""
        others = self._listing.instead(page, why)
        self._may_pass = self._may_pass or (may_pass and not page.detail)
        for other in others:
            yield from self._page(other)
        if page.detail and not others:
            self._listing.left_out[f"page: {why}"] += 1
        elif not others:
            where = page.shown or page.url
            self.error = self.error or ListingError(f"{where}: {why}", self._may_pass)

    def _image(self, listed: Listed) -> Iterator[Request]:
        if listed.url in self.unsettled or self._sink.is_done(listed):
            return
        try:
            request = Request(
                listed.fetch or listed.url,
                self._on_image,
                errback=self._on_image_error,
                cb_kwargs={"listed": listed},
                priority=IMAGE,
                dont_filter=True,
            )
            scheme = urlsplit(request.url).scheme
        except ValueError:
            scheme = ""
        if scheme not in ("http", "https"):
            # Scrapy itself takes no request for some of these, and then there would be no row.
            self._sink.reject(listed, "blocked", NO_ADDRESS)
            return
        self.unsettled.add(listed.url)
        yield request

    async def _on_image(self, response: Response, listed: Listed) -> None:
        row = await asyncio.to_thread(self._sink.judge, listed, response.body)
        with self._settling(listed):
            self._sink.add(listed, row, response.body, _trace(response))

    def _on_image_error(self, failure: Any) -> None:
        if isinstance(failure.value, STOPPED):
            return
        status, reason = explain(failure.value, self._sink.limits.bytes)
        error = failure.value
        trace = _trace(error.response) if isinstance(error, HttpError) else NO_TRACE
        listed = failure.request.cb_kwargs["listed"]
        with self._settling(listed):
            self._sink.reject(listed, status, reason, trace)

    @contextmanager
    def _settling(self, listed: Listed) -> Iterator[None]:
        """Round the adding of an image's row: afterwards it is there, or the crawl ends."""
        try:
            yield
        except OSError as error:
            self.error = GanError(_explain_disk(error))
            raise CloseSpider("disk") from None
        self.unsettled.discard(listed.url)
        self._settled.set()


def _explain_disk(error: OSError) -> str:
    if error.errno in FULL:
        return f"the disk takes no more: {error}; make room and run again"
    return f"what was fetched cannot be written: {error}; mend that and run again"


def _trace(response: Response) -> Trace:
    address = str(response.ip_address) if response.ip_address else ""
    request = response.request
    seconds = float(request.meta.get("download_latency", 0.0)) if request else 0.0
    return Trace(response.url, address, response.status, round(seconds, 3))
