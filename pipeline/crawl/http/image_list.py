"""A listing of images that are all known before anything is asked: it has no pages."""

from collections import Counter
from collections.abc import Iterable, Sequence

from scrapy.http import Response

from pipeline.console import say
from pipeline.crawl.http.engine import Manners, crawl
from pipeline.crawl.http.listing import ListingPage, PageRequest
from pipeline.crawl.image_check import Listed
from pipeline.crawl.sink import Sink


def fetch_images(images: Iterable[Listed], sink: Sink, manners: Manners) -> None:
    """Give each image its row; they are taken one by one, only as fast as they are fetched.

    Raises what breaks the iteration off.
    """
    crawl(ImageList(images), sink, manners)


class ImageList:
    """Images in order."""

    def __init__(self, images: Iterable[Listed]) -> None:
        self.left_out: Counter[str] = Counter()
        self._images = images

    def start(self) -> ListingPage:
        return ListingPage(self._images)

    def read(self, page: PageRequest, response: Response) -> ListingPage:
        raise ValueError("a list of images has no pages")

    def instead(self, page: PageRequest, why: str) -> Sequence[PageRequest]:
        return ()


def say_left_out(left_out: Counter[str]) -> None:
    """Tell the person what has no row, and why."""
    for reason, count in sorted(left_out.items()):
        say(f"{count} left out: {reason}")
