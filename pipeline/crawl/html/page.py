"""An HTML page of a gallery: addresses and texts that CSS selectors find on it."""

import re
from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin, urlsplit

from cssselect import SelectorError
from parsel import Selector
from scrapy.http import Response, TextResponse
from w3lib.url import safe_url_string

from gan.errors import GanError
from pipeline.crawl.http.noai import META_NAMES, keeps_from_ai, says_noai

LAZY = tuple(
    f"data-{name}"
    for name in (
        *("src", "original", "lazy-src", "lazy", "lazyload", "echo", "actualsrc", "real-src"),
        *("cfsrc", "ezsrc", "img-src", "orig-file", "large-file", "full", "url"),
    )
)
"""Attributes in which scripts keep the address of a picture until it is scrolled to."""
FROM_IMAGE = ("data-srcset", "data-lazy-srcset", "srcset", *LAZY, "src")
FROM_OTHERS = (*LAZY, "src", "href", "data-bg", "data-background-image", "style")
ATTRIBUTES = {
    "img": FROM_IMAGE,
    "source": FROM_IMAGE,
    "a": ("href",),
    "area": ("href",),
    "link": ("href",),
    "meta": ("content",),
}
"""Attributes with an element's address, best first: `src` of a lazy image is a placeholder."""

WEB = ("http", "https")
EMBEDDED = ("data", "javascript", "blob", "about", "mailto")
"""Schemes of addresses that can't be fetched."""

_SRCSET_SELECTOR = re.compile(r"::attr\(\s*[\w-]*srcset\s*\)")
_STYLED = re.compile(r"""url\(\s*["']?(.+?)["']?\s*\)""")
_PATH = re.compile(r"(?:https?:)?/?/?[\w.%~-]*/\S+|\S+\.\w{3,4}")
_CANDIDATE = re.compile(r"([^\s,]\S*[^\s,]|[^\s,])(?:\s+(\d+\.?\d*|\.\d+)[wxh])?\s*(?:,|$)")


def check_selector(option: str, selector: str) -> None:
    """GanError where `selector` is no CSS selector; ::attr(name) and ::text are allowed."""
    try:
        Selector(text="<p>", type="html").css(selector)
    except (SelectorError, ValueError) as error:
        why = " ".join(str(error).split())
        raise GanError(f"{option} {selector!r}: no CSS selector: {why}") from None


class HtmlPage:
    """A parsed page; ValueError for an answer that is no text."""

    def __init__(self, answer: Response) -> None:
        if not isinstance(answer, TextResponse):
            raise ValueError("not an HTML page")
        self._root = Selector(answer.text, type="html")
        self._noai = keeps_from_ai(answer)
        self._encoding = answer.encoding
        self._url = urldefrag(answer.url).url
        base = _join(answer.url, self._root.css("base::attr(href)").get(""))
        self._base = base if urlsplit(base).scheme in WEB else answer.url

    @property
    def noai(self) -> bool:
        """True where the page keeps its pictures from AI."""
        metas = self._root.css("meta[name][content]")
        rules = [m.attrib["content"] for m in metas if m.attrib["name"].lower() in META_NAMES]
        return self._noai or says_noai(rules)

    def addresses(self, selector: str) -> Iterator[str]:
        """The address of each match, absolute and without fragment, in page order.

        Empty where a match has no address; an invalid one is left as it is.
        """
        for match in self._root.css(selector):
            found = [self._absolute(text) for text in _candidates(match.root, selector)]
            useful = (each for each in found if each and scheme_of(each) not in EMBEDDED)
            yield next(useful, found[0] if found else "")

    def find_unused(self, selector: str) -> list[str]:
        """Names of other attributes of the first match that hold an address."""
        node = next((match.root for match in self._root.css(selector)), None)
        used = ATTRIBUTES.get(getattr(node, "tag", ""), FROM_OTHERS)
        held = getattr(node, "attrib", {}).items()
        return [
            name for name, value in held if name not in used and _PATH.fullmatch(value.strip())
        ]

    def texts(self, selector: str) -> Iterator[str]:
        """The text of each match that has any, with single blanks."""
        for match in self._root.css(selector):
            node = match.root
            text = node if isinstance(node, str) else "".join(node.itertext())
            if words := text.split():
                yield " ".join(words)

    def _absolute(self, text: str) -> str:
        """An absolute address; empty for one of the page itself, which is a placeholder."""
        url = _join(self._base, text)
        if scheme_of(url) not in WEB:
            return url
        try:
            url = safe_url_string(urldefrag(url).url, self._encoding)
        except ValueError:
            return url
        return "" if url == self._url else url


def scheme_of(url: str) -> str:
    """The scheme of an address, in lower case; empty where there is none."""
    return url.partition(":")[0].lower() if ":" in url else ""


def _join(base: str, text: str) -> str:
    try:
        return urljoin(base, text.strip())
    except ValueError:
        return text.strip()


def _candidates(node: object, selector: str) -> list[str]:
    """The addresses of a match, best first."""
    if isinstance(node, str):
        return _read_srcset(node) if _SRCSET_SELECTOR.search(selector) else [node]
    found: list[str] = []
    for name in ATTRIBUTES.get(getattr(node, "tag", ""), FROM_OTHERS):
        value = getattr(node, "attrib", {}).get(name, "")
        if value.strip():
            if name.endswith("srcset"):
                found += _read_srcset(value)
            else:
                found += _STYLED.findall(value) if name == "style" else [value]
    return found


def _read_srcset(text: str) -> list[str]:
    """The candidates of a srcset, largest first."""
    found = [(float(size or 1), url) for url, size in _CANDIDATE.findall(text)]
    return [url for _, url in sorted(found, key=lambda each: -each[0])]
