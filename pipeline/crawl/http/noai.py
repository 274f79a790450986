"""The wish of a site that its pictures be kept from AI: `noai` or `noimageai`.

It stands in an X-Robots-Tag header, of a picture or a page, or in a page's robots meta element.
"""

from collections.abc import Iterable

from scrapy.http import Response

from pipeline.crawl.http.policy import PRODUCT

META_NAMES = ("robots", PRODUCT)
"""Names of the meta elements that are meant for this crawler."""

_WORDS = {"noai", "noimageai"}
_WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
"""Directives with a colon; before any other one stands the name of a crawler."""


def says_noai(rules: Iterable[str]) -> bool:
    """True where one of these lists of directives, for all crawlers or for this one, says so."""
    for text in rules:
        crawler = ""
        for part in text.lower().split(","):
            name, colon, rest = (word.strip() for word in part.partition(":"))
            if colon and name not in _WITH_VALUE:
                crawler, name = name, rest
            if crawler in ("", PRODUCT) and name in _WORDS:
                return True
    return False


def keeps_from_ai(response: Response) -> bool:
    """True where the headers of an answer say so."""
    return says_noai(tag.decode("latin-1") for tag in response.headers.getlist("X-Robots-Tag"))
