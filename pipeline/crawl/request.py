"""The options of one `gan scrape`, and checks of the addresses among them."""

import re
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.booru.credentials import KEY, USER
from pipeline.crawl.http.address_guard import normalise
from pipeline.crawl.http.failure_reasons import NOAI
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.public_url import names_secret
from pipeline.crawl.source import Source
from pipeline.crawl.storage.earlier_crawl import is_final
from pipeline.dataset.manifest import ManifestEntry

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
    allow_noai: bool = False
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

    @property
    def licence_note(self) -> str:
        """The licence as given, else UNKNOWN."""
        return self.licence or UNKNOWN

    def policy(self, settings: ScrapeParams) -> CrawlPolicy:
        """The behaviour of a crawl; GanError if --allow-private names no HOST:PORT."""
        private = frozenset(map(_host_and_port, self.allow_private))
        return CrawlPolicy(settings, private, allow_noai=self.allow_noai)


@dataclass(frozen=True)
class RequestedSource(Source):
    """A source that `gan scrape` names: its place, the other options, the behaviour of a crawl."""

    place: str
    request: ScrapeRequest
    policy: CrawlPolicy

    def __post_init__(self) -> None:
        """Raise GanError for options that don't fit."""

    @property
    def path(self) -> Path:
        """The place of a source on this machine."""
        return Path(self.place)

    @property
    def total(self) -> int | None:
        return self.request.limit

    def is_settled(self, entry: ManifestEntry) -> bool:
        """True for a final entry; of a picture kept from AI only where that counts."""
        return is_final(entry) and not (self.policy.allow_noai and entry.reason == NOAI)


def check_web_address(kind: str, text: str) -> str:
    """Return `text` if it is an HTTP address without credentials; GanError if not."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        right = right and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        right = False
    if not right:
        raise GanError(f"--source {kind}:{text}: must be {kind}:https://SITE")
    # Without the secret: addresses go into source.yaml, rows and pictures.
    for field in re.split("[&;]", f"{parts.query}&{parts.fragment}"):
        name, _, value = field.partition("=")
        if value and names_secret(name):
            raise GanError(
                f"--source {kind}:…?{ascii(unquote(name))[1:-1]}=…: an address is recorded, so it "
                f"must hold no secret; for boorus set {USER} and {KEY}"
            )
    return text


def _host_and_port(text: str) -> str:
    """HOST:PORT or [IPv6]:PORT in one spelling; GanError where `text` is none."""
    shape = re.fullmatch(r"([^:/\s@\[\]]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", text)
    with suppress(ValueError):  # a port or an IPv6 address that is none
        if shape is not None and int(shape[2]) > 0:
            return normalise(text)
    raise GanError(f"--allow-private {text}: must be HOST:PORT, such as 127.0.0.1:8000")
