"""One HTML page as a gallery is read: addresses and texts that CSS selectors find on it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

from cssselect import SelectorError
from scrapy import Selector
from scrapy.http import Response, TextResponse
from w3lib.url import safe_url_string

from gan.errors import GanError

FROM_IMAGE = ("srcset", "data-srcset", "data-src", "src")
ATTRIBUTES = {
    "img": FROM_IMAGE,
    "source": FROM_IMAGE,
    "a": ("href",),
    "area": ("href",),
    "link": ("href",),
    "meta": ("content",),
}
"""Where an element holds its address, best first: `src` of a lazy image is a placeholder."""

WEB = ("http", "https")
EMBEDDED = ("data", "javascript", "blob", "about", "mailto")
"""Schemes of addresses that lead nowhere."""

_SRCSET_SELECTOR = re.compile(r"::attr\(\s*[\w-]*srcset\s*\)")
_CANDIDATE = re.compile(r"([^\s,]\S*[^\s,]|[^\s,])(?:\s+([\d.]+)[wxh])?\s*(?:,|$)")


def check_selector(option: str, selector: str) -> None:
    """GanError where `selector` is no CSS; Scrapy's ::attr(name) and ::text belong to it."""
    try:
        Selector(text="<p>", type="html").css(selector)
    except (SelectorError, ValueError) as error:
        why = " ".join(str(error).split())
        raise GanError(f"{option} {selector!r}: no CSS selector: {why}") from None


@dataclass(frozen=True)
class HtmlPage:
    """A parsed page; `url` is where it was found, `base` what its relative addresses mean."""

    url: str
    base: str
    encoding: str
    root: Selector

    @staticmethod
    def parse(response: Response) -> "HtmlPage":
        """ValueError where the answer is no text."""
        if not isinstance(response, TextResponse):
            raise ValueError("not an HTML page")
        root = Selector(response, type="html")
        base = _join(response.url, root.css("base::attr(href)").get(""))
        if urlsplit(base).scheme not in WEB:
            base = response.url
        return HtmlPage(response.url, base, response.encoding, root)

    def addresses(self, selector: str) -> Iterator[str]:
        """What each match leads to, absolute and without fragment, in page order.

        Empty where a match holds no address; one that no browser could read comes as it is.
        """
        for match in self.root.css(selector):
            found = [self._absolute(text) for text in _candidates(match.root, selector)]
            useful = (each for each in found if each and scheme_of(each) not in EMBEDDED)
            yield next(useful, found[0] if found else "")

    def texts(self, selector: str) -> Iterator[str]:
        """The text of each match that has any, blanks made one."""
        for match in self.root.css(selector):
            node = match.root
            text = node if isinstance(node, str) else "".join(node.itertext())
            if words := text.split():
                yield " ".join(words)

    def _absolute(self, text: str) -> str:
        """Empty for an address that leads to the page itself: a placeholder."""
        url = _join(self.base, text)
        if scheme_of(url) not in WEB:
            return url
        try:
            url = safe_url_string(urldefrag(url).url, self.encoding)
        except ValueError:
            return url
        return "" if url == urldefrag(self.url).url else url


def scheme_of(url: str) -> str:
    """The scheme of an address, in lower case; empty where there is none."""
    return url.partition(":")[0].lower() if ":" in url else ""


def _join(base: str, text: str) -> str:
    try:
        return urljoin(base, text.strip())
    except ValueError:
        return text.strip()


def _candidates(node: object, selector: str) -> list[str]:
    """The addresses that a match holds, best first."""
    if isinstance(node, str):
        return _read_srcset(node) if _SRCSET_SELECTOR.search(selector) else [node]
    found: list[str] = []
    for name in ATTRIBUTES.get(getattr(node, "tag", ""), ("data-src", "src", "href")):
        value = getattr(node, "attrib", {}).get(name, "")
        if value.strip():
            found.extend(_read_srcset(value) if name.endswith("srcset") else [value])
    return found


def _read_srcset(text: str) -> list[str]:
    """The candidates of a srcset, largest first."""
    matches = sorted(_CANDIDATE.finditer(text), key=lambda each: -_size(each[2]))
    return [match[1] for match in matches]


def _size(text: str | None) -> float:
    try:
        return float(text or 1)
    except ValueError:
        return 0.0
