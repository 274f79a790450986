"""A listing without pages: all images are known from the start."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline.console import say
from pipeline.crawl.http.engine import CrawlPolicy, crawl
from pipeline.crawl.http.listing import ListingPage, PageAnswer, PageRequest
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.sink import Sink


def fetch_images(images: Iterable[ListedImage], sink: Sink, policy: CrawlPolicy) -> None:
    """Fetch images; the iterator is advanced only as fast as they are fetched.

    Raises the exceptions of the iterator.
    """
    crawl(ImageList(images), sink, policy)


class ImageList:
    """Images in their order."""

    def __init__(self, images: Iterable[ListedImage]) -> None:
        self.left_out: Counter[str] = Counter()
        self._images = images

    def start(self) -> ListingPage:
        return ListingPage(self._images)

    def read(self, page: PageRequest, answer: PageAnswer) -> ListingPage:
        raise ValueError("a list of images has no pages")

    def replace_page(self, page: PageRequest, why: str) -> Sequence[PageRequest]:
        return ()


def report_left_out(left_out: Counter[str]) -> None:
    """Print how many images or pages got no manifest entry, by reason."""
    for reason, count in sorted(left_out.items()):
        say(f"{count} left out: {reason}")
