"""Source `archive:PATH`: pictures in a folder, tar, compressed tar or zip on this machine."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gan.params.data import ScrapeParams
from pipeline.crawl.archive.listing import Contents, look, named_pictures, read_contents
from pipeline.crawl.archive.member import Member, printable
from pipeline.crawl.image_check import Listed
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import GrowingSource
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.dataset.reader import Dataset


@dataclass(frozen=True)
class Archive(GrowingSource):
    """Every picture file below `path`, by name; `limit` keeps the first ones.

    Provenance is read from gallery-dl's JSON files beside the pictures. No rating is left out: who
    has the files has chosen them already.

    The archive is walked three times: for its names, for marks of the contents, for the contents.
    So an archive is known by what it holds, and nothing of it is kept in memory.
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
        return len(self._contents.marks)

    def continues(self, dataset: Dataset) -> bool:
        """True where the archive has only grown: a picture they share, and none that differs."""
        if not super().continues(dataset):
            return False
        marks = {}
        for name, place in self._contents.places.items():
            marks[url_key(self._listed(name, place).url)] = self._contents.marks[place]
        shared = False
        for row in dataset.entries():
            mark = marks.get(url_key(row.url)) if row.status == "ok" else None
            if mark is not None and mark.hex() != row.sha256:
                return False
            shared = shared or mark is not None
        return shared

    def fetch(self, sink: Sink) -> None:
        places = self._contents.places
        met = bytearray(len(places))
        for name, member in named_pictures(self.path, self.limits):
            place = places.get(name)
            if place is not None:
                met[place] = True
                listed = self._listed(name, place)
                if not sink.is_done(listed):
                    self._deliver(member, listed, sink)
        for name, place in places.items():
            listed = self._listed(name, place)
            if not met[place] and not sink.is_done(listed):
                sink.reject(listed, "failed", "gone since the archive was listed")

    @cached_property
    def _contents(self) -> Contents:
        return read_contents(self.path, self.limits, self.limit)

    def _listed(self, name: str, place: int) -> Listed:
        known, member = self._contents.provenance(place), f"archive:{name}"
        return Listed(
            position=place,
            page=known.page or member,
            url=known.url or member,
            tags=known.tags,
            rating=known.rating,
            source=known.source,
            licence=known.licence or self.licence,
        )

    def _deliver(self, member: Member, listed: Listed, sink: Sink) -> None:
        found = look(member, self.limits.max_bytes)
        if found.refusal:
            sink.reject(listed, *found.refusal)
        elif found.mark != self._contents.marks[listed.position]:
            sink.reject(listed, "failed", "changed since the archive was listed")
        else:
            sink.take(listed, found.data)
