"""The sources by kind; a new one is a module, and one line in SOURCES.

`gan scrape --source KIND:PLACE` calls `build(place, request, policy)`, which returns a Source.
"""

from collections.abc import Callable
from typing import NamedTuple

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl import embedded
from pipeline.crawl.address_files import FromManifest, UrlList
from pipeline.crawl.archive.source import Archive
from pipeline.crawl.booru.source import Booru
from pipeline.crawl.html.source import HtmlGallery
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.source import Source
from pipeline.dataset.source_file import EMBEDDED, is_embedded, read_source
from pipeline.paths import Paths


class SourceKind(NamedTuple):
    """A kind of source: its place as messages show it, the options it understands, its builder."""

    place: str
    options: str
    build: Callable[[str, ScrapeRequest, CrawlPolicy], Source]


WEB = "licence allow_private allow_noai"
"""Options that every source on the web understands."""

SOURCES = {
    EMBEDDED: SourceKind("", "limit licence", embedded.build),
    "booru": SourceKind("URL", f"limit tags ratings api {WEB}", Booru),
    "gallery": SourceKind("URL", f"limit tags image next link {WEB}", HtmlGallery),
    "urls": SourceKind("FILE", f"limit {WEB}", UrlList),
    "archive": SourceKind("FILE|FOLDER", "limit licence", Archive),
}
"""By the word before the colon of --source; any option that a kind doesn't name is refused."""

MANIFEST = SourceKind("FILE", "allow_private allow_noai", FromManifest)
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
    return embedded.Embedded.parse(description, paths.source)


def source_of(request: ScrapeRequest, settings: ScrapeParams) -> Source:
    """Build the source that the options name; GanError where one of them is wrong or useless."""
    name, colon, place = (request.source or EMBEDDED).partition(":")
    kind, shown = SOURCES.get(name), f"--source {request.source or EMBEDDED}"
    if request.from_manifest is not None:
        if request.source:
            raise GanError("--from-manifest and --source: one of them, not both")
        kind, shown, place = MANIFEST, "--from-manifest", str(request.from_manifest)
    elif kind is None or bool(place) != bool(kind.place) or (colon and not place):
        raise GanError(f"--source {request.source!r}: must be one of {KINDS}")
    understood = {"source", "from_manifest", *kind.options.split()}
    for option in sorted(request.source_options - understood):
        raise GanError(f"--{option.replace('_', '-')}: {shown} has no use for it")
    return kind.build(place, request, request.policy(settings))
