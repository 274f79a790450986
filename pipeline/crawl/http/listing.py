"""How a source tells the spider where its images are: pages to ask for, images to fetch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from scrapy.http import Response

from pipeline.crawl.image_check import Listed


@dataclass(frozen=True)
class PageRequest:
    """A page that a listing wants to read.

    `place` is the listing's own note of where the page stands; it comes back with the answer.
    `headers` may carry credentials: they are sent to this URL's host alone and never recorded.
    `shown` replaces the URL in messages and logs where the URL itself holds a secret. A `detail`
    page hangs off a listing page: it is read before the next listing page is asked for, and where
    it can't be had, only its own images are missing.
    """

    url: str
    place: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    shown: str = ""
    detail: bool = False


@dataclass(frozen=True)
class ListingPage:
    """What one page of a listing holds: images, and the pages that it leads to."""

    images: Iterable[Listed] = ()
    pages: Sequence[PageRequest] = ()


class Listing(Protocol):
    """Where a site's listing begins, and how to read a page of it.

    `left_out` counts, by reason, what was listed but isn't wanted or shows no image.
    """

    left_out: Counter[str]

    def start(self) -> ListingPage:
        """Images known without asking, taken lazily and in order, and the first pages to ask."""

    def read(self, page: PageRequest, response: Response) -> ListingPage:
        """Parse an answer with status 200; ValueError where it is no page of this listing."""

    def instead(self, page: PageRequest, why: str) -> Sequence[PageRequest]:
        """Pages to ask for in place of one that can't be had or read; empty: there are none."""
