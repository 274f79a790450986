"""Source `embedded`: the gallery that this repository draws, crawled over HTTP like any other."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.console import count_noun
from pipeline.crawl.booru.api import Search
from pipeline.crawl.booru.danbooru import DANBOORU
from pipeline.crawl.booru.posts import PostListing
from pipeline.crawl.http.engine import crawl
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import Source
from pipeline.dataset.reader import Dataset
from pipeline.gallery.page import page_tags, paint_page_jpeg
from pipeline.gallery.painter import paint_jpeg, tags
from pipeline.gallery.server import Describe, Gallery, Paint, serve
from pipeline.gallery.settings import GallerySettings

RECORDED_ROOT = "gallery:"
"""Stands for the server's address in the manifest: host and port change with every run."""
AT_HOME = ScrapeParams(
    contact="",
    delay=0.0,
    connections=8,
    timeout=120.0,
    retries=3,
    backoff=0.5,
    longest_wait=60.0,
    give_up_after=1000,
    redirects=0,
    max_pages=1_000_000,
    max_bytes=20 * 2**20,
    max_pixels=40_000_000,
    archive_members=1,
    archive_bytes=1,
    archive_ratio=1.0,
)
"""The gallery's own settings of a crawl: params.yaml must not change its dataset."""

PAINTERS: dict[str, tuple[Paint, Describe]] = {
    "avatars": (paint_jpeg, tags),
    "pages": (paint_page_jpeg, page_tags),
}
"""By view, how its posts are painted and tagged."""


@dataclass(frozen=True)
class Embedded(GallerySettings, Source):
    """The gallery as a source: a local server that paints its posts, and a crawl of it."""

    @property
    def total(self) -> int:
        return self.count

    def continues(self, dataset: Dataset) -> bool:
        """Never: it is drawn anew, so that the same source gives the same digest."""
        return False

    def describe(self, counts: dict[str, int]) -> dict[str, Any]:
        return self.identity

    def fetch(self, sink: Sink) -> None:
        """Raises GanError where a picture failed: drawing again must give the same digest."""
        gallery = Gallery(self.count, self.size, self.seed, *PAINTERS[self.view])
        with serve(gallery) as root:
            # Its faults are there on purpose: no line says that a request is tried again.
            place = frozenset({urlsplit(root).netloc})
            policy = CrawlPolicy(AT_HOME, place, report=lambda _: None, paces_apis=False)
            search = Search(root, "", self.count, self.licence, recorded_root=RECORDED_ROOT)
            crawl(PostListing(search, sink.journal, [DANBOORU]), sink, policy)
        if failed := sink.counts["failed"]:
            pictures = count_noun(failed, "picture")
            raise GanError(f"{pictures} of the embedded gallery failed; run again")


def build(place: str, request: ScrapeRequest, policy: CrawlPolicy) -> Embedded:
    """Build the embedded gallery; its settings of a crawl are its own."""
    source = Embedded(count=request.limit) if request.limit else Embedded()
    return replace(source, licence=request.licence) if request.licence else source
