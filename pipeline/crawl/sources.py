"""Which source a `--source` option or a source.yaml means."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gan.errors import GanError
from pipeline.crawl.archive import Archive
from pipeline.crawl.booru import Booru
from pipeline.crawl.embedded import NAME, Embedded
from pipeline.crawl.source import Source

KINDS = "embedded, booru:https://SITE or archive:FILE|FOLDER"


def from_option(text: str, limit: int | None, tags: str, licence: str) -> Source:
    """The source that `--source text` names; GanError where it or another option is wrong."""
    if limit is not None and limit < 1:
        raise GanError(f"--limit {limit}: must be at least 1")
    kind, _, place = text.partition(":")
    if tags and kind != "booru":
        raise GanError(f"--tags {tags!r}: only a booru source has tags to search for")
    match kind:
        case "booru":
            return _booru(place, limit, tags, licence)
        case "archive" if place:
            return Archive(Path(place), licence or "unknown", limit)
        case "embedded" if not place:
            source = Embedded(count=limit) if limit else Embedded()
            return replace(source, licence=licence) if licence else source
    raise GanError(f"--source {text!r}: must be {KINDS}")


def _booru(root: str, limit: int | None, tags: str, licence: str) -> Source:
    parts = urlsplit(root)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise GanError(f"--source booru:{root}: must be booru:https://SITE")
    if limit is None:
        raise GanError("--source booru:… needs --limit, the largest number of images to fetch")
    return Booru(root.rstrip("/"), tags, limit, licence or "unknown")


def is_embedded(description: dict[str, Any]) -> bool:
    """True where a source.yaml means the gallery, which can be drawn again at any time."""
    return description.get("source") == NAME


def embedded_from(description: dict[str, Any], where: Path) -> Embedded:
    """The gallery that a source.yaml describes; GanError names the key that is wrong."""
    known = Embedded().identity
    for key in known.keys() ^ description.keys():
        raise GanError(f"{where}: {key} is {'missing' if key in known else 'unknown'}")
    for key, example in known.items():
        if type(description[key]) is not type(example):
            raise GanError(f"{where}: {key} = {description[key]!r}: must be like {example!r}")
    if description["count"] < 1 or not 16 <= description["size"] <= 1024:
        raise GanError(f"{where}: count must be at least 1 and size between 16 and 1024")
    if description["painter"] != known["painter"]:
        raise GanError(
            f"{where}: painter = {description['painter']}, but this version of the repository "
            f"draws with painter {known['painter']}; change it there to draw anew"
        )
    return Embedded(**{key: value for key, value in description.items() if key != "source"})
