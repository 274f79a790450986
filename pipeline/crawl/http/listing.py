"""The interface between a source and the spider: pages to request, images to fetch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scrapy.http import Response

from pipeline.crawl.image_check import ListedImage


@dataclass(frozen=True)
class PageRequest:
    """A page that a listing wants to read.

    `place` is for the listing's own use; it comes back with the answer. `authorization` is a
    header that is sent to this URL's host alone and never recorded. `shown` replaces the URL in
    messages and logs where the URL itself has a secret. A `detail` page belongs to a listing page:
    it is read before the next listing page is requested, and if it fails, only its own images are
    missing. `interval` is given for the listing of a documented API on the host that the user
    named: so many seconds pass between two requests, and robots.txt does not count for it.
    """

    url: str
    place: int = 0
    authorization: str = ""
    shown: str = ""
    detail: bool = False
    interval: float = 0.0


@dataclass(frozen=True)
class ListingPage:
    """The content of a listing page: its images, and the pages that it leads to."""

    images: Iterable[ListedImage] = ()
    pages: Sequence[PageRequest] = ()


class Listing:
    """A listing of images: its first pages, and the reading of each; here one without pages.

    `left_out` counts, by reason, what was listed but isn't wanted or has no image; the crawl
    prints it at its end.
    """

    def __init__(self, images: Iterable[ListedImage] = ()) -> None:
        self.left_out: Counter[str] = Counter()
        self.images = images

    def start(self) -> ListingPage:
        """Images known without a request, taken lazily and in order, and the first pages."""
        return ListingPage(self.images)

    def read(self, page: PageRequest, answer: Response) -> ListingPage:
        """Parse an answer with status 200; ValueError where it is no page of this listing."""
        raise ValueError("a list of images has no pages")

    def replace_page(self, page: PageRequest, why: str) -> ListingPage:
        """The substitute of a page that failed for the reason `why`; maybe nothing.

        Without a page in place of one that is no `detail`, the listing breaks off.
        """
        return ListingPage()
