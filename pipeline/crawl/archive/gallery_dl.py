"""Provenance of a picture, from the file that gallery-dl, waifuc or a tagger wrote beside it.

The keys are those of gallery-dl's extractors for boorus, Pixiv, X and the like, and of waifuc,
which has a site's whole post under the site's name. The file isn't trusted: other keys are left
out, and no credential in an address is kept.
"""

import html
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pipeline.crawl.public_url import printable, public_url, strip_secrets
from pipeline.pictures.formats import SUFFIXES

MAX_BYTES = 2**20
"""A larger file is no sidecar."""

LONGEST_TEXT = 2000

GELBOORU_PAGE = "index.php?page=post&s=view&id={}"
POSTS = {
    "aibooru": "https://aibooru.online/posts/{}",
    "artstation": "https://www.artstation.com/artwork/{}",
    "danbooru": "https://danbooru.donmai.us/posts/{}",
    "derpibooru": "https://derpibooru.org/images/{}",
    "e621": "https://e621.net/posts/{}",
    "e926": "https://e926.net/posts/{}",
    "gelbooru": f"https://gelbooru.com/{GELBOORU_PAGE}",
    "hypnohub": f"https://hypnohub.net/{GELBOORU_PAGE}",
    "konachan": "https://konachan.com/post/show/{}",
    "pixiv": "https://www.pixiv.net/artworks/{}",
    "rule34": f"https://rule34.xxx/{GELBOORU_PAGE}",
    "safebooru": f"https://safebooru.org/{GELBOORU_PAGE}",
    "sakugabooru": "https://www.sakugabooru.com/post/show/{}",
    "sankaku": "https://chan.sankakucomplex.com/posts/{}",
    "tbib": f"https://tbib.org/{GELBOORU_PAGE}",
    "twitter": "https://x.com/i/web/status/{}",
    "wallhaven": "https://wallhaven.cc/w/{}",
    "xbooru": f"https://xbooru.com/{GELBOORU_PAGE}",
    "yandere": "https://yande.re/post/show/{}",
    "zerochan": "https://www.zerochan.net/{}",
}
"""The page of a post, by gallery-dl's category and the post's number."""

RATINGS = {
    **dict.fromkeys(("g", "safe", "sfw"), "general"),
    "s": "sensitive",
    **dict.fromkeys(("q", "mature", "r15+"), "questionable"),
    **dict.fromkeys(("e", "adult", "r-18", "r-18g", "r18+"), "explicit"),
}
S_MEANS_SENSITIVE = {"aibooru", "danbooru", "gelbooru"}
"""Categories of POSTS whose rating `s` is Danbooru's sensitive; elsewhere there it means safe."""


class Provenance(NamedTuple):
    """The origin of a picture as fields of a manifest entry, empty if unknown."""

    url: str = ""
    page: str = ""
    tags: tuple[str, ...] = ()
    rating: str = ""
    source: str = ""
    licence: str = ""


def parse_sidecar(data: bytes) -> Provenance:
    """The provenance in a sidecar's bytes; ValueError where it is no JSON object."""
    try:
        values = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(values, dict):
        raise ValueError("no object")
    return find_provenance(values)


def find_provenance(values: dict[str, Any]) -> Provenance:
    """The provenance in a sidecar's values."""
    values = _unfold(values)
    category = _text(values.get("category")).lower()
    page = _find_page(values, category)
    return Provenance(
        _find_file(values, page),
        page,
        tuple(dict.fromkeys(filter(None, map(_text, _find_tags(values))))),
        _find_rating(values, category),
        _find_source(values),
        _find_licence(values),
    )


def is_animation(data: bytes) -> bool:
    """True for the sidecar of an animation whose frames are packed in a zip, as Pixiv's are."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and (values.get("type") == "ugoira" or "frames" in values)


def parse_caption(data: bytes) -> Provenance:
    """The tags in a caption, with commas or blanks between them; ValueError for no UTF-8 text."""
    text = data.decode("utf-8-sig").replace("\\(", "(").replace("\\)", ")")
    parts = text.split(",") if "," in text else text.split()
    return Provenance(tags=tuple(dict.fromkeys(filter(None, map(_text, parts)))))


def _unfold(values: dict[str, Any]) -> dict[str, Any]:
    """waifuc's values as gallery-dl would write them: the post with the other keys beside it."""
    for category in POSTS:
        if isinstance(post := values.get(category), dict):
            others = {"tags": values.get("tags"), "image_url": values.get("url")}
            used = {key: value for key, value in others.items() if value}
            return {**post, **used, "category": category}
    return values


def _find_file(values: dict[str, Any], page: str) -> str:
    for key in ("file_url", "file", "image_url", "media_url", "url"):
        value = values.get(key)
        text = _text(value.get("url") if isinstance(value, dict) else value)
        # Some sites' `url` is the page.
        if text and (key != "url" or _names_picture(text)) and (url := public_url(text, page)):
            return url
    return ""


def _find_page(values: dict[str, Any], category: str) -> str:
    number = _text(values.get("tweet_id" if category == "twitter" else "id"))
    if category in POSTS and re.fullmatch(r"[\w-]{1,64}", number, re.ASCII):
        return POSTS[category].format(number)
    for key in ("post_url", "page_url", "permalink", "webpage_url", "descriptionurl", "url"):
        text = _text(values.get(key))
        if (key != "url" or not _names_picture(text)) and (url := public_url(text)):
            return url
    return ""


def _names_picture(text: str) -> bool:
    try:
        return PurePosixPath(urlsplit(text).path).suffix.lower() in SUFFIXES
    except ValueError:
        return False


def _find_tags(values: dict[str, Any]) -> Iterator[Any]:
    """`tags`, else `tag_string`, else all of `tags_artist`, `tag_string_general`, … together."""
    for key in ("tags", "tag_string", "hashtags"):
        if values.get(key):
            return _split_tags(values[key])
    others = (
        value
        for key, value in values.items()
        if key.startswith(("tags_", "tag_string_")) and key != "tags_bookmark"
    )
    return (tag for value in others for tag in _split_tags(value))


def _split_tags(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        separator = ", " if ", " in value else None if " " in value else ","
        yield from map(html.unescape, value.split(separator))
    elif isinstance(value, list):
        for each in value:
            name = each.get("name") if isinstance(each, dict) else each
            yield html.unescape(name) if isinstance(name, str) else name
    elif isinstance(value, dict) and all(isinstance(each, int | float) for each in value.values()):
        yield from value  # of a tagger, with a score each
    elif isinstance(value, dict):
        for each in value.values():
            yield from _split_tags(each)


def _find_rating(values: dict[str, Any], category: str) -> str:
    rating = _text(values.get("rating") or values.get("purity")).lower()
    if rating == "s" and category in POSTS.keys() - S_MEANS_SENSITIVE:
        return "general"
    if not rating and values.get("sensitive") is True:
        return "sensitive"
    return RATINGS.get(rating, rating)


def _find_source(values: dict[str, Any]) -> str:
    value = values.get("source") or values.get("sources")
    each = value if isinstance(value, list) else [value]
    return strip_secrets(" ".join(filter(None, map(_text, each))))[:LONGEST_TEXT]


def _find_licence(values: dict[str, Any]) -> str:
    """Flickr's `license` is a number, with its meaning beside it in `license_name`."""
    for key in ("license_name", "licence", "license"):
        value = values.get(key)
        if isinstance(value, dict):
            value = value.get("name") or value.get("url")
        if isinstance(value, str) and (text := _text(value)) and not text.isdecimal():
            return text
    return ""


def _text(value: Any) -> str:
    """One line of a string or number, else nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return printable(" ".join(str(value).split()))[:LONGEST_TEXT]
