"""Source `archive:PATH`: pictures in a folder, tar, compressed tar or zip on this machine."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gan.params.data import ScrapeParams
from pipeline.crawl.archive.archive_file import ArchiveFile, printable
from pipeline.crawl.archive.contents import Contents, read_content, read_contents, walk_pictures
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import GrowingSource
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.dataset.reader import Dataset


@dataclass(frozen=True)
class Archive(GrowingSource):
    """Every picture file below `path`, by name; `limit` keeps the first ones.

    Provenance is read from gallery-dl's JSON files beside the pictures. No rating is left out:
    the files on this machine were chosen already.

    The archive is walked three times: for its names, for digests of the pictures, for the
    pictures. So its identity is its content, and none of the bytes are kept in memory.
    """

    path: Path
    licence: str
    limits: ScrapeParams
    limit: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": f"archive:{printable(self.path.resolve().name)}",
            "sha256": self._contents.sha256,
            "limit": self.limit,
            "licence": self.licence,
        }

    @property
    def total(self) -> int:
        return len(self._contents.digests)

    def continues(self, dataset: Dataset) -> bool:
        """True where the archive has only grown: it shares a picture, and none differs."""
        if not super().continues(dataset):
            return False
        digests = {}
        for name, position in self._contents.positions.items():
            key = url_key(self._list(name, position).url)
            digests[key] = self._contents.digests[position]
        shared = False
        for entry in dataset.entries():
            digest = digests.get(url_key(entry.url)) if entry.status == "ok" else None
            if digest is not None and digest.hex() != entry.sha256:
                return False
            shared = shared or digest is not None
        return shared

    def fetch(self, sink: Sink) -> None:
        positions = self._contents.positions
        found = bytearray(len(positions))
        for name, file in walk_pictures(self.path, self.limits):
            position = positions.get(name)
            if position is not None:
                found[position] = True
                listed = self._list(name, position)
                if not sink.is_done(listed):
                    self._deliver(file, listed, sink)
        for name, position in positions.items():
            listed = self._list(name, position)
            if not found[position] and not sink.is_done(listed):
                sink.reject(listed, "failed", "gone since the archive was listed")

    @cached_property
    def _contents(self) -> Contents:
        return read_contents(self.path, self.limits, self.limit)

    def _list(self, name: str, position: int) -> ListedImage:
        origin, own_url = self._contents.provenance(position), f"archive:{name}"
        return ListedImage(
            position=position,
            page=origin.page or own_url,
            url=origin.url or own_url,
            tags=origin.tags,
            rating=origin.rating,
            source=origin.source,
            licence=origin.licence or self.licence,
        )

    def _deliver(self, file: ArchiveFile, listed: ListedImage, sink: Sink) -> None:
        content = read_content(file, self.limits.max_bytes)
        if content.refusal:
            sink.reject(listed, *content.refusal)
        elif content.digest != self._contents.digests[listed.position]:
            sink.reject(listed, "failed", "changed since the archive was listed")
        else:
            sink.check_and_add(listed, content.data)


def build(place: str, request: ScrapeRequest, settings: ScrapeParams) -> Archive:
    """Build the source `archive:PLACE`."""
    return Archive(Path(place), request.licence_note, settings, request.limit)
