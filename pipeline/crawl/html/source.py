"""Source `gallery:URL`: a site of HTML pages, read by CSS selectors."""

import math
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import urldefrag

from scrapy.http import Response
from w3lib.url import safe_url_string

from gan.errors import GanError
from pipeline.crawl.html.page import EMBEDDED, WEB, HtmlPage, check_selector, scheme_of
from pipeline.crawl.http.engine import crawl
from pipeline.crawl.http.listing import Listing, ListingPage, PageRequest
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.request import RequestedSource, check_web_address
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import url_key

BITS = 24
"""Bits for each part of a position: listing page, then link, then image."""

MAX_BARREN_PAGES = 20
"""Listing pages in a row without anything new, after which a listing ends.

Many sites link from their last page to a next one without end.
"""


class HtmlGallery(RequestedSource):
    """The images that `image` selects on a listing's pages, or on the pages that `link` selects.

    `next` selects the link to the listing's next page, `tags` the elements whose text is a tag of
    the page's images. `limit` keeps the first images in the listing's order; a linked page that
    can't be fetched counts as one. Raises GanError for options that don't fit.
    """

    def __post_init__(self) -> None:
        if not self.request.image:
            raise GanError("--source gallery:… needs --image, a CSS selector such as 'img.full'")
        check_web_address("gallery", self.place)
        for name in ("image", "next", "link", "tags"):
            if selector := getattr(self.request, name):
                check_selector(f"--{name}", selector)

    @property
    def identity(self) -> dict[str, Any]:
        names = ("image", "next", "link", "tags", "limit")
        return {
            "source": f"gallery:{self.place}",
            **{name: getattr(self.request, name) for name in names},
            "licence": self.request.licence_note,
        }

    def fetch(self, sink: Sink) -> None:
        listing = GalleryListing(self)
        try:
            crawl(listing, sink, self.policy)
        except ListingError:
            crawl(Listing(listing.take_rest()), sink, self.policy)
            raise


class GalleryListing(Listing):
    """The pages of a gallery; images come in the order of the listing.

    Linked pages are answered in any order. So that the same images are chosen whichever comes
    first, the images of one wait until all pages before it are read.
    """

    def __init__(self, gallery: HtmlGallery) -> None:
        super().__init__()
        self._options = options = gallery.request
        self._limit = math.inf if options.limit is None else options.limit
        url = safe_url_string(urldefrag(gallery.place).url)
        self._next: PageRequest | None = PageRequest(url)
        self._links: deque[PageRequest] = deque()  # not requested yet
        # by place, in order; None while the page is requested
        self._found: dict[int, list[ListedImage] | None] = {}
        self._pages = {url_key(url)}
        self._images: set[bytes] = set()
        self._missing_pages = 0
        self._barren = 0

    def start(self) -> ListingPage:
        return self._advance()

    def read(self, page: PageRequest, answer: Response) -> ListingPage:
        html = HtmlPage(answer)
        if page.detail:
            self._found[page.place] = images = list(self._images_of(page, html))
            if not images:
                self.left_out[f"linked pages without a match of {self._options.image!r}"] += 1
        else:
            self._read_listing(page, html)
        return self._advance()

    def replace_page(self, page: PageRequest, why: str) -> ListingPage:
        """A failed linked page counts as one image, which a later try may add."""
        if not page.detail:
            return ListingPage()
        self._found[page.place] = []
        self._missing_pages += 1
        return self._advance()

    def take_rest(self) -> Iterator[ListedImage]:
        """The images that wait for pages which never came."""
        self._found = {place: found for place, found in self._found.items() if found is not None}
        return self._release()

    def _read_listing(self, page: PageRequest, html: HtmlPage) -> None:
        # Before the links: if their selector matches it too, it is still the next page.
        following = self._next_of(page, html)
        if self._options.link:
            links = list(self._links_of(page, html))
            self._links.extend(links)
            is_new = bool(links)
        else:
            self._found[page.place] = images = list(self._images_of(page, html))
            is_new = any(url_key(each.url) not in self._images for each in images)
        if page.place == 0 and not is_new:
            raise ValueError(self._describe_nothing(html))
        self._barren = 0 if is_new else self._barren + 1
        if following and self._barren >= MAX_BARREN_PAGES:
            self.left_out[f"the pages after {MAX_BARREN_PAGES} in a row with nothing new"] += 1
        elif following:
            self._next = following

    def _advance(self) -> ListingPage:
        images = list(self._release())
        return ListingPage(images, list(self._request_pages()))

    def _release(self) -> Iterator[ListedImage]:
        """The images whose place in the order is certain, each address once, up to the limit."""
        for place, found in list(self._found.items()):
            if found is None:
                return
            del self._found[place]
            for listed in found:
                key = url_key(listed.url)
                if key not in self._images and self._taken < self._limit:
                    self._images.add(key)
                    yield listed

    @property
    def _taken(self) -> int:
        return len(self._images) + self._missing_pages

    def _request_pages(self) -> Iterator[PageRequest]:
        """As many linked pages as `limit` has room for, at one image each; then the next page."""
        waiting = (1 if found is None else len(found) for found in self._found.values())
        room = self._limit - self._taken - sum(waiting)
        while self._links and room > 0:
            page = self._links.popleft()
            self._found[page.place] = None
            room -= 1
            yield page
        if self._next is not None and room > 0:
            yield self._next
            self._next = None

    def _next_of(self, page: PageRequest, html: HtmlPage) -> PageRequest | None:
        """The first page that `next` selects and that wasn't requested yet."""
        for url in html.addresses(self._options.next) if self._options.next else ():
            if self._is_new_page(url):
                return PageRequest(url, page.place + (1 << BITS))
        return None

    def _links_of(self, page: PageRequest, html: HtmlPage) -> Iterator[PageRequest]:
        for index, url in enumerate(html.addresses(self._options.link)):
            if self._is_new_page(url):
                yield PageRequest(url, page.place + index, detail=True)

    def _is_new_page(self, url: str) -> bool:
        if scheme_of(url) not in WEB:
            if url:
                self.left_out[f"pages with {_describe_address(url)}"] += 1
            return False
        key = url_key(url)
        is_new = key not in self._pages
        self._pages.add(key)
        return is_new

    def _images_of(self, page: PageRequest, html: HtmlPage) -> Iterator[ListedImage]:
        options = self._options
        texts = html.texts(options.tags) if options.tags else ()
        tags = tuple(dict.fromkeys(text.replace(" ", "_") for text in texts))
        addresses = list(html.addresses(options.image))
        if len(addresses) > 2 and len(set(addresses)) == 1:
            others = ", ".join(f"::attr({name})" for name in html.find_unused(options.image))
            why = f"matches of {options.image!r} with one address on their page, a placeholder?"
            self.left_out[f"{why} {others and f'try {others}'}".rstrip()] += len(addresses) - 1
        for index, url in enumerate(addresses):
            if not url or scheme_of(url) in EMBEDDED:
                self.left_out[f"images with {_describe_address(url)}"] += 1
                continue
            position = (page.place << BITS) + index
            licence = options.licence_note
            yield ListedImage(position, page.url, url, tags, licence=licence, noai=html.noai)

    def _describe_nothing(self, html: HtmlPage) -> str:
        options = self._options
        option, selector = ("--link", options.link) if options.link else ("--image", options.image)
        found = next(html.addresses(selector), None)
        if found is None:
            return f"{option} {selector!r} matches nothing there"
        return f"{option} {selector!r} matches, but finds {_describe_address(found)}"


def _describe_address(url: str) -> str:
    return f"a {scheme_of(url)}: address" if url else "no address"
