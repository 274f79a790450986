"""The spider: walks a listing page by page; every image on it gets exactly one entry."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy import Request
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError

from gan.errors import GanError
from pipeline.crawl.http.address_guard import SINGLE_HOST
from pipeline.crawl.http.failure_reasons import (
    FORBIDDEN,
    FORBIDS,
    NO_ADDRESS,
    NOAI,
    RequestInterrupted,
    explain,
    is_passing,
)
from pipeline.crawl.http.listing import Listing, ListingPage, PageRequest
from pipeline.crawl.http.noai import keeps_from_ai
from pipeline.crawl.http.policy import API_INTERVAL, CrawlPolicy
from pipeline.crawl.http.referer import PAGE
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.sink import NO_TRACE, FetchTrace, Sink
from pipeline.dataset.manifest import ManifestEntry
from pipeline.pictures.formats import HEAD, identify

PAGES = {"HTML": "an HTML page", "JSON": "JSON", "text": "a text", "empty": "nothing"}
"""Kinds of files that a site sends in place of a picture; at another time it may send that."""

NEXT, DETAIL = -1000, -500
"""Priorities below an image's 0: pages that lead to more wait, so only one is in memory."""

AHEAD = 16
"""Images in the queue for each connection, of a source that knows them all from the start."""

STOPPED = (RequestInterrupted, asyncio.CancelledError)
"""Exceptions of a request that ends because the crawl ends: no outcome of its page or image."""

FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_EXPECTED = "not the listing that was expected"


class ListingError(GanError):
    """The listing broke off; images listed until then have their entries.

    `may_pass` is true where the same crawl may get further at another time.
    """

    def __init__(self, text: str, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


class ImageSpider(scrapy.Spider):
    """Crawls one listing into a sink; `error` is the reason why it broke off, if it did.

    Scrapy's duplicate filter is off: it drops redirects to a known address without a word.
    """

    name = "images"

    def __init__(self, listing: Listing, sink: Sink, policy: CrawlPolicy, **settings: Any) -> None:
        super().__init__(**settings)
        self.error: GanError | None = None
        self.unsettled: set[str] = set()
        self._listing = listing
        self._sink = sink
        self._allow_noai = policy.allow_noai
        self._max_pages = policy.params.max_pages
        self._ahead = AHEAD * policy.params.connections
        self._may_pass = False
        self._requested: set[str] = set()
        self._settled = asyncio.Event()

    async def start(self) -> AsyncIterator[Request]:
        """Images known from the start, only as fast as they are fetched; then pages."""
        for request in self._follow(self._listing.start()):
            yield request
            while len(self.unsettled) >= self._ahead:
                self._settled.clear()
                await self._settled.wait()

    def _page(self, page: PageRequest) -> Iterator[Request]:
        """Request a page once: a listing that leads back to itself ends here."""
        if page.url in self._requested:
            return
        if len(self._requested) >= self._max_pages:
            limit = f"scrape.max_pages = {self._max_pages} listing pages were read"
            self.error = ListingError(f"{limit}; raise it in params.yaml to read more")
            return
        self._requested.add(page.url)
        request = _build_request(
            page.url,
            self._on_page,
            self._on_page_error,
            headers={"Authorization": page.authorization} if page.authorization else None,
            cb_kwargs={"page": page},
            meta={SINGLE_HOST: bool(page.shown), API_INTERVAL: page.interval},
            priority=DETAIL if page.detail else NEXT,
        )
        if request is None:
            yield from self._replace_page(page, NO_ADDRESS)
        else:
            yield request

    def _on_page(self, response: Response, page: PageRequest) -> Iterator[Request]:
        try:
            found = self._listing.read(page, response)
        except ValueError as error:
            return self._replace_page(page, f"{NOT_EXPECTED}: {error}")
        return self._follow(found)

    def _follow(self, found: ListingPage) -> Iterator[Request]:
        for listed in found.images:
            yield from self._image(listed)
        for page in found.pages:
            yield from self._page(page)

    def _on_page_error(self, failure: Any) -> Iterator[Request]:
        if isinstance(failure.value, STOPPED):
            return
        status, reason = explain(failure.value, self._sink.limits.bytes)
        page = failure.request.cb_kwargs["page"]
        yield from self._replace_page(page, reason, is_passing(status, reason))

    def _replace_page(
        self, page: PageRequest, why: str, may_pass: bool = False
    ) -> Iterator[Request]:
        """Request others in place of a failed page; without any the listing breaks off."""
        found = self._listing.replace_page(page, why)
        if page.detail:
            self._listing.left_out[f"page: {why}"] += 1
        else:
            self._may_pass = self._may_pass or may_pass
            if not found.pages:
                where = page.shown or page.url
                told = FORBIDS if why == FORBIDDEN else why
                self.error = self.error or ListingError(f"{where}: {told}", self._may_pass)
        yield from self._follow(found)

    def _image(self, listed: ListedImage) -> Iterator[Request]:
        if listed.url in self.unsettled or self._sink.is_done(listed):
            return
        if listed.noai and not self._allow_noai:
            self._sink.reject(listed, "blocked", NOAI)
            return
        request = _build_request(
            listed.fetch or listed.url,
            self._on_image,
            self._on_image_error,
            cb_kwargs={"listed": listed},
            meta={PAGE: listed.page if listed.page != listed.url else ""},
        )
        if request is None:
            self._sink.reject(listed, "blocked", NO_ADDRESS)
        else:
            self.unsettled.add(listed.url)
            yield request

    async def _on_image(self, response: Response, listed: ListedImage) -> None:
        if keeps_from_ai(response) and not self._allow_noai:
            entry = listed.entry("blocked", NOAI)
        elif page := PAGES.get(identify(response.body[:HEAD])):
            entry = listed.entry("failed", f"{page}; the site may refuse direct requests")
        else:
            entry = await asyncio.to_thread(self._sink.check, listed, response.body)
        self._keep(listed, entry, response)

    def _on_image_error(self, failure: Any) -> None:
        error, listed = failure.value, failure.request.cb_kwargs["listed"]
        if not isinstance(error, STOPPED):
            entry = listed.entry(*explain(error, self._sink.limits.bytes))
            self._keep(listed, entry, error.response if isinstance(error, HttpError) else None)

    def _keep(self, listed: ListedImage, entry: ManifestEntry, response: Response | None) -> None:
        """Add an image's entry; the crawl ends where the disk does not take it."""
        data, trace = (response.body, _trace(listed, response)) if response else (b"", NO_TRACE)
        try:
            self._sink.add(listed, entry, data, trace)
        except OSError as error:
            what = "make room" if error.errno in FULL else "check the disk"
            self.error = GanError(f"images cannot be written: {error}; {what} and run again")
            raise CloseSpider("disk") from None
        self.unsettled.discard(listed.url)
        self._settled.set()


def _build_request(url: str, callback: Any, errback: Any, **options: Any) -> Request | None:
    """A request; None for an address of which Scrapy takes none, without a call of `errback`."""
    try:
        request = Request(url, callback, errback=errback, dont_filter=True, **options)
        return request if urlsplit(request.url).scheme in ("http", "https") else None
    except ValueError:
        return None


def _trace(listed: ListedImage, response: Response) -> FetchTrace:
    final_url = response.url if response.url != listed.url else ""
    address = str(response.ip_address or "")
    seconds = response.request.meta.get("download_latency", 0.0) if response.request else 0.0
    return FetchTrace(final_url, address, response.status, round(seconds, 3))
