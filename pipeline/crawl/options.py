"""The options of `gan scrape`, and the source that they name."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.archive.source import Archive
from pipeline.crawl.booru.credentials import KEY, USER
from pipeline.crawl.booru.posts import SAFE
from pipeline.crawl.booru.source import AUTO, Booru
from pipeline.crawl.embedded import Embedded
from pipeline.crawl.from_manifest import FromManifest
from pipeline.crawl.html.source import HtmlGallery
from pipeline.crawl.http.address_guard import normalise
from pipeline.crawl.http.engine import CrawlPolicy
from pipeline.crawl.public_url import names_secret
from pipeline.crawl.source import Source
from pipeline.crawl.url_list import UrlList
from pipeline.dataset.source_file import EMBEDDED, is_embedded, read_source
from pipeline.paths import Paths

KINDS = "embedded, booru:URL, gallery:URL, urls:FILE or archive:FILE|FOLDER"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class ScrapeRequest:
    """The options of one `gan scrape`; empty where one was not given.

    Raises GanError where --ensure stands beside an option that it would ignore.
    """

    source: str = ""
    from_manifest: Path | None = None
    limit: int | None = None
    tags: str = ""
    ratings: str = ""
    api: str = ""
    image: str = ""
    next: str = ""
    link: str = ""
    licence: str = ""
    allow_private: tuple[str, ...] = ()
    ensure: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if self.ensure and (self.source_options or self.replace):
            raise GanError("--ensure keeps to source.yaml: it goes with no other option")

    @property
    def source_options(self) -> frozenset[str]:
        """Names of the options given that describe the source."""
        given = {field.name for field in fields(self) if getattr(self, field.name)}
        return frozenset(given - {"ensure", "replace"})


USED = {
    "embedded": {"limit", "licence"},
    "booru": {"limit", "tags", "ratings", "api", "licence", "allow_private"},
    "gallery": {"limit", "tags", "image", "next", "link", "licence", "allow_private"},
    "urls": {"limit", "licence", "allow_private"},
    "archive": {"limit", "licence"},
    "manifest": {"allow_private"},
}
"""Options that each kind of source understands; any other one is refused."""


def choose_source(request: ScrapeRequest, settings: ScrapeParams, paths: Paths) -> Source:
    """The source that the options name; without any of them the gallery of source.yaml.

    Raises GanError where an option is wrong or useless, or source.yaml is not of the gallery.
    """
    if request.source_options:
        return source_of(request, settings)
    description = read_source(paths.source)
    if not is_embedded(description):
        what = f"{paths.source.name} is of {description['source']}, no embedded gallery"
        raise GanError(f"{what}: give --source ({KINDS}) or --from-manifest FILE")
    return Embedded.parse(description, paths.source)


def source_of(request: ScrapeRequest, settings: ScrapeParams) -> Source:
    """The source that the options name; GanError where one of them is wrong or useless."""
    kind, place = _kind(request)
    for name in sorted(request.source_options - USED[kind] - {"source", "from_manifest"}):
        raise GanError(f"--{name.replace('_', '-')}: {_source_option(request)} has no use for it")
    if request.limit is not None and request.limit < 1:
        raise GanError(f"--limit {request.limit}: must be at least 1")
    allowed = frozenset(_host_and_port(each) for each in request.allow_private)
    policy = CrawlPolicy(settings, allowed)
    licence = request.licence or UNKNOWN
    match kind:
        case "booru":
            return _booru(place, request, licence, policy)
        case "gallery":
            return _gallery(place, request, licence, policy)
        case "urls":
            return UrlList(Path(place), licence, request.limit, policy)
        case "archive":
            return Archive(Path(place), licence, settings, request.limit)
        case "manifest":
            return FromManifest(Path(place), policy)
    source = Embedded(count=request.limit) if request.limit else Embedded()
    return replace(source, licence=request.licence) if request.licence else source


def _kind(request: ScrapeRequest) -> tuple[str, str]:
    if request.from_manifest is not None:
        if request.source:
            raise GanError("--from-manifest and --source: one of them, not both")
        return "manifest", str(request.from_manifest)
    kind, colon, place = (request.source or EMBEDDED).partition(":")
    if kind not in USED or kind == "manifest" or (kind == EMBEDDED) == bool(colon or place):
        raise GanError(f"--source {request.source!r}: must be {KINDS}")
    if kind != EMBEDDED and not place:
        raise GanError(f"--source {request.source!r}: must be {KINDS}")
    return kind, place


def _source_option(request: ScrapeRequest) -> str:
    return (
        f"--source {request.source or EMBEDDED}"
        if not request.from_manifest
        else "--from-manifest"
    )


def _booru(root: str, request: ScrapeRequest, licence: str, policy: CrawlPolicy) -> Booru:
    root = _web_address("booru", root).rstrip("/")
    if request.limit is None:
        raise GanError("--source booru:… needs --limit, the largest number of images to fetch")
    ratings = frozenset(request.ratings.replace(",", " ").split()) or SAFE
    api = request.api or AUTO
    return Booru(root, request.tags, request.limit, licence, policy, ratings, api)


def _gallery(url: str, request: ScrapeRequest, licence: str, policy: CrawlPolicy) -> HtmlGallery:
    if not request.image:
        raise GanError("--source gallery:… needs --image, a CSS selector such as 'img.full'")
    return HtmlGallery(
        _web_address("gallery", url),
        image=request.image,
        next=request.next,
        link=request.link,
        tags=request.tags,
        licence=licence,
        limit=request.limit,
        policy=policy,
    )


def _web_address(kind: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        right = right and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        right = False
    if not right:
        raise GanError(f"--source {kind}:{text}: must be {kind}:https://SITE")
    _refuse_secrets(kind, f"{parts.query}&{parts.fragment}")
    return text


def _refuse_secrets(kind: str, query: str) -> None:
    """GanError, without the secret: addresses go into source.yaml, rows and pictures."""
    for field in re.split("[&;]", query):
        name, _, value = field.partition("=")
        if value and names_secret(name):
            raise GanError(
                f"--source {kind}:…?{ascii(unquote(name))[1:-1]}=…: an address is recorded, so it "
                f"must hold no secret; for boorus set {USER} and {KEY}"
            )


def _host_and_port(text: str) -> str:
    """`text` if it is HOST:PORT or [IPv6]:PORT; GanError if not."""
    shape = re.fullmatch(r"([^:/\s@\[\]]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", text)
    try:
        right = shape is not None and int(shape[2]) > 0 and bool(normalise(text))
    except ValueError:  # a port or an IPv6 address that is none
        right = False
    if not right:
        raise GanError(f"--allow-private {text}: must be HOST:PORT, such as 127.0.0.1:8000")
    return text
