"""Settings of the embedded gallery, as source.yaml records them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gan.errors import GanError
from pipeline.dataset.source_file import EMBEDDED
from pipeline.gallery.page import PAGE_VERSION
from pipeline.gallery.painter import PAINTER_VERSION

LICENCE = "CC0-1.0"
PAINTERS = {"avatars": PAINTER_VERSION, "pages": PAGE_VERSION}
"""By view, the version of its pictures: one face each, or pages whose shorter side is `size`."""


@dataclass(frozen=True)
class GallerySettings:
    """`count` posts of `size` pixels; post n is painted from seed + n by version `painter`."""

    count: int = 5200
    size: int = 128
    seed: int = 1
    painter: int = PAINTER_VERSION
    licence: str = LICENCE
    view: str = "avatars"

    @property
    def identity(self) -> dict[str, Any]:
        """The content of source.yaml."""
        names = ("view", "count", "size", "seed", "painter", "licence")
        return {"source": EMBEDDED, **{name: getattr(self, name) for name in names}}

    @classmethod
    def parse(cls, description: Mapping[str, Any], where: Path) -> Self:
        """Settings from the content of the source.yaml `where`; GanError names the wrong key."""
        known = cls().identity
        for key in sorted(known.keys() ^ description.keys()):
            raise GanError(f"{where}: {key} is {'missing' if key in known else 'unknown'}")
        for key, example in known.items():
            if type(description[key]) is not type(example):
                raise GanError(f"{where}: {key} = {description[key]!r}: must be like {example!r}")
        if description["count"] < 1 or not 16 <= description["size"] <= 1024:
            raise GanError(f"{where}: count must be at least 1 and size between 16 and 1024")
        view, painter = description["view"], description["painter"]
        if view not in PAINTERS:
            raise GanError(f"{where}: view = {view!r}: must be {' or '.join(PAINTERS)}")
        if painter != PAINTERS[view]:
            raise GanError(
                f"{where}: painter = {painter}, but this version of the repository draws {view} "
                f"with painter {PAINTERS[view]}; write that there to draw the dataset anew"
            )
        return cls(**{key: value for key, value in description.items() if key != "source"})
