"""The interface between a source and the spider: pages to request, images to fetch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.crawl.image_check import ListedImage


@dataclass(frozen=True)
class PageRequest:
    """A page that a listing wants to read.

    `place` is for the listing's own use; it comes back with the answer. `headers` may have
    credentials: they are sent to this URL's host alone and never recorded. `shown` replaces the
    URL in messages and logs where the URL itself has a secret. A `detail` page belongs to a
    listing page: it is read before the next listing page is requested, and if it fails, only its
    own images are missing.
    """

    url: str
    place: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    shown: str = ""
    detail: bool = False


@dataclass(frozen=True)
class PageAnswer:
    """The answer to a page request; `text` is the decoded body, None where it is no text."""

    url: str
    body: bytes
    text: str | None = None
    encoding: str = "utf-8"


@dataclass(frozen=True)
class ListingPage:
    """The content of a listing page: its images, and the pages that it leads to."""

    images: Iterable[ListedImage] = ()
    pages: Sequence[PageRequest] = ()


class Listing(Protocol):
    """A listing of images: its first pages, and the reading of each.

    `left_out` counts, by reason, what was listed but isn't wanted or has no image.
    """

    left_out: Counter[str]

    def start(self) -> ListingPage:
        """Images known without a request, taken lazily and in order, and the first pages."""

    def read(self, page: PageRequest, answer: PageAnswer) -> ListingPage:
        """Parse an answer with status 200; ValueError where it is no page of this listing."""

    def replace_page(self, page: PageRequest, why: str) -> Sequence[PageRequest]:
        """Pages to request in place of one that failed for the reason `why`; maybe none."""
