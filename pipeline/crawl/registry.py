"""The sources by kind; a new one is a module with `build`, and one line in SOURCES.

`gan scrape --source KIND:PLACE` calls `build(place, request, settings)`, which returns a Source.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.embedded import Embedded
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.source import Source
from pipeline.dataset.source_file import EMBEDDED, is_embedded, read_source
from pipeline.paths import Paths


@dataclass(frozen=True)
class SourceKind:
    """A kind of source: its place as messages show it, the options it understands, its module."""

    place: str
    options: str
    module: str

    def build(self, place: str, request: ScrapeRequest, settings: ScrapeParams) -> Source:
        """Build the source; GanError for options that don't fit."""
        return cast(Source, import_module(self.module).build(place, request, settings))


WEB = "licence allow_private"
"""Options that every source on the web understands."""

SOURCES = {
    EMBEDDED: SourceKind("", "limit licence", "pipeline.crawl.embedded"),
    "booru": SourceKind("URL", f"limit tags ratings api {WEB}", "pipeline.crawl.booru.source"),
    "gallery": SourceKind(
        "URL", f"limit tags image next link {WEB}", "pipeline.crawl.html.source"
    ),
    "urls": SourceKind("FILE", f"limit {WEB}", "pipeline.crawl.url_list"),
    "archive": SourceKind("FILE|FOLDER", "limit licence", "pipeline.crawl.archive.source"),
}
"""By the word before the colon of --source; any option that a kind doesn't name is refused."""

MANIFEST = SourceKind("FILE", "allow_private", "pipeline.crawl.from_manifest")
"""The source of --from-manifest."""

KINDS = ", ".join(f"{kind}:{each.place}".rstrip(":") for kind, each in SOURCES.items())


def choose_source(request: ScrapeRequest, settings: ScrapeParams, paths: Paths) -> Source:
    """Build the source that the options name; without any of them the gallery of source.yaml.

    Raises GanError where an option is wrong or useless, or source.yaml is not of the gallery.
    """
    if request.source_options:
        return source_of(request, settings)
    description = read_source(paths.source)
    if not is_embedded(description):
        what = f"{paths.source.name} is of {description['source']}, no embedded gallery"
        raise GanError(f"{what}: give --source (one of {KINDS}) or --from-manifest FILE")
    return Embedded.parse(description, paths.source)


def source_of(request: ScrapeRequest, settings: ScrapeParams) -> Source:
    """Build the source that the options name; GanError where one of them is wrong or useless."""
    kind, place = _kind(request)
    shown = (
        "--from-manifest" if request.from_manifest else f"--source {request.source or EMBEDDED}"
    )
    understood = {"source", "from_manifest", *kind.options.split()}
    for name in sorted(request.source_options - understood):
        raise GanError(f"--{name.replace('_', '-')}: {shown} has no use for it")
    if request.limit is not None and request.limit < 1:
        raise GanError(f"--limit {request.limit}: must be at least 1")
    return kind.build(place, request, settings)


def _kind(request: ScrapeRequest) -> tuple[SourceKind, str]:
    if request.from_manifest is not None:
        if request.source:
            raise GanError("--from-manifest and --source: one of them, not both")
        return MANIFEST, str(request.from_manifest)
    name, colon, place = (request.source or EMBEDDED).partition(":")
    kind = SOURCES.get(name)
    if kind is None or bool(place) != bool(kind.place) or (colon and not kind.place):
        raise GanError(f"--source {request.source!r}: must be one of {KINDS}")
    return kind, place
