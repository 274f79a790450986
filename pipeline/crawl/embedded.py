"""Source `embedded`: the gallery this repository draws, crawled over HTTP like any other."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gan.errors import GanError
from pipeline.crawl.booru import Danbooru
from pipeline.crawl.engine import Manners, crawl
from pipeline.crawl.sink import Sink
from pipeline.gallery.painter import PAINTER_VERSION, paint_jpeg, tags
from pipeline.gallery.server import Describe, Gallery, Paint, serve

NAME = "embedded"
LICENCE = "CC0-1.0"
HOME = "gallery:"
"""Stands for the server's address in the manifest: host and port change with every run."""


@dataclass(frozen=True)
class Embedded:
    """`count` posts of `size` pixels; post n is painted from seed + n by `painter`."""

    count: int = 5200
    size: int = 128
    seed: int = 1
    painter: int = PAINTER_VERSION
    licence: str = LICENCE
    paint: Paint = paint_jpeg
    describe_picture: Describe = tags

    @property
    def identity(self) -> dict[str, Any]:
        names = ("count", "size", "seed", "painter", "licence")
        return {"source": NAME, **{name: getattr(self, name) for name in names}}

    @property
    def total(self) -> int:
        return self.count

    def describe(self, count: int) -> dict[str, Any]:
        return self.identity

    def fetch(self, sink: Sink) -> None:
        """Raises GanError where a picture failed: drawing again must give the same digest."""
        gallery = Gallery(self.count, self.size, self.seed, self.paint, self.describe_picture)
        with serve(gallery) as root:
            manners = Manners(delay_s=0, allowed=(urlsplit(root).netloc,))
            listing = Danbooru(root, "", self.count, self.licence, sink.journal, home=HOME)
            crawl(listing, sink, manners)
        if failed := sink.counts["failed"]:
            raise GanError(f"{failed} pictures of the embedded gallery failed; run again")
