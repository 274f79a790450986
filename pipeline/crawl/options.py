"""Which source the options of `gan scrape`, or a source.yaml, mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.archive.source import Archive
from pipeline.crawl.booru.credentials import KEY, USER
from pipeline.crawl.booru.posts import SAFE
from pipeline.crawl.booru.source import AUTO, Booru
from pipeline.crawl.embedded import NAME, VIEWS, Embedded
from pipeline.crawl.from_manifest import FromManifest
from pipeline.crawl.html.source import HtmlGallery
from pipeline.crawl.http.address_guard import normalise
from pipeline.crawl.http.engine import Manners
from pipeline.crawl.source import Source
from pipeline.crawl.url_list import UrlList

KINDS = "embedded, booru:URL, gallery:URL, urls:FILE or archive:FILE|FOLDER"
UNKNOWN = "unknown"

SECRET = re.compile(
    r"key|sig|jwt|.*(api_?key|access_?key|key_?pair|passw|pass_?hash|pwd|token|secret|signature"
    r"|credential|session|auth(?!or)).*|x_amz_.*",
    re.IGNORECASE,
)
"""Names of fields in an address that log somebody in."""


@dataclass(frozen=True)
class Options:
    """What a person asked `gan scrape` for; empty where nothing was said."""

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

    @property
    def given(self) -> frozenset[str]:
        """Names of the options that say something."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name))


USED = {
    "embedded": {"limit", "licence"},
    "booru": {"limit", "tags", "ratings", "api", "licence", "allow_private"},
    "gallery": {"limit", "tags", "image", "next", "link", "licence", "allow_private"},
    "urls": {"limit", "licence", "allow_private"},
    "archive": {"limit", "licence"},
    "manifest": {"allow_private"},
}
"""Options that each kind of source understands; any other is refused, never ignored."""


def from_options(options: Options, params: ScrapeParams) -> Source:
    """The source that the options name; GanError where one of them is wrong or makes no sense."""
    kind, place = _kind(options)
    for name in sorted(options.given - USED[kind] - {"source", "from_manifest"}):
        raise GanError(f"--{name.replace('_', '-')}: {_shown(options)} has no use for it")
    if options.limit is not None and options.limit < 1:
        raise GanError(f"--limit {options.limit}: must be at least 1")
    manners = Manners(params, frozenset(_host_and_port(each) for each in options.allow_private))
    licence = options.licence or UNKNOWN
    match kind:
        case "booru":
            return _booru(place, options, licence, manners)
        case "gallery":
            return _gallery(place, options, licence, manners)
        case "urls":
            return UrlList(Path(place), licence, options.limit, manners)
        case "archive":
            return Archive(Path(place), licence, params, options.limit)
        case "manifest":
            return FromManifest(Path(place), manners)
    source = Embedded(count=options.limit) if options.limit else Embedded()
    return replace(source, licence=options.licence) if options.licence else source


def _kind(options: Options) -> tuple[str, str]:
    if options.from_manifest is not None:
        if options.source:
            raise GanError("--from-manifest and --source: one of them, not both")
        return "manifest", str(options.from_manifest)
    kind, colon, place = (options.source or NAME).partition(":")
    if kind not in USED or kind == "manifest" or (kind == NAME) == bool(colon or place):
        raise GanError(f"--source {options.source!r}: must be {KINDS}")
    if kind != NAME and not place:
        raise GanError(f"--source {options.source!r}: must be {KINDS}")
    return kind, place


def _shown(options: Options) -> str:
    return f"--source {options.source or NAME}" if not options.from_manifest else "--from-manifest"


def _booru(root: str, options: Options, licence: str, manners: Manners) -> Booru:
    root = _web_address("booru", root).rstrip("/")
    if options.limit is None:
        raise GanError("--source booru:… needs --limit, the largest number of images to fetch")
    ratings = frozenset(options.ratings.replace(",", " ").split()) or SAFE
    api = options.api or AUTO
    return Booru(root, options.tags, options.limit, licence, manners, ratings, api)


def _gallery(url: str, options: Options, licence: str, manners: Manners) -> HtmlGallery:
    if not options.image:
        raise GanError("--source gallery:… needs --image, a CSS selector such as 'img.full'")
    return HtmlGallery(
        _web_address("gallery", url),
        image=options.image,
        next=options.next,
        link=options.link,
        tags=options.tags,
        licence=licence,
        limit=options.limit,
        manners=manners,
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
        if value and SECRET.fullmatch(unquote(name).replace("-", "_")):
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


def is_embedded(description: Mapping[str, Any]) -> bool:
    """True where a source.yaml means the gallery, which can be drawn again at any time."""
    return description.get("source") == NAME


def embedded_from(description: Mapping[str, Any], where: Path) -> Embedded:
    """The gallery that a source.yaml describes; GanError names the key that is wrong."""
    known = Embedded().identity
    for key in sorted(known.keys() ^ description.keys()):
        raise GanError(f"{where}: {key} is {'missing' if key in known else 'unknown'}")
    for key, example in known.items():
        if type(description[key]) is not type(example):
            raise GanError(f"{where}: {key} = {description[key]!r}: must be like {example!r}")
    if description["count"] < 1 or not 16 <= description["size"] <= 1024:
        raise GanError(f"{where}: count must be at least 1 and size between 16 and 1024")
    if description["view"] not in VIEWS:
        raise GanError(f"{where}: view = {description['view']!r}: must be {' or '.join(VIEWS)}")
    if description["painter"] != known["painter"]:
        raise GanError(
            f"{where}: painter = {description['painter']}, but this version of the repository "
            f"draws with painter {known['painter']}; change it there to draw anew"
        )
    return Embedded(**{key: value for key, value in description.items() if key != "source"})
