"""Sidecars as gallery-dl 1.32 writes them: every field that is known, and no credential."""

import json
from itertools import product

import pytest

from pipeline.crawl.archive.gallery_dl import Provenance, parse_sidecar
from pipeline.crawl.public_url import public_url, strip_secrets

PXIMG = "https://i.pximg.net/img-original/img/2024/04/01/00/00/00"
DANBOORU = {
    "id": 7412345,
    "rating": "s",
    "source": f"{PXIMG}/1_p0.png",
    "tag_string": "1girl smile artist_name",
    "tags": ["1girl", "smile", "artist_name"],
    "tags_general": ["1girl", "smile"],
    "file_url": "https://cdn.donmai.us/original/ab/cd/abcd.jpg",
    "large_file_url": "https://cdn.donmai.us/sample/ab/cd/sample-abcd.jpg",
    "category": "danbooru",
}
GELBOORU = {
    "id": 9876543,
    "tags": "1girl bow don&#039;t_smile",
    "rating": "general",
    "source": "",
    "file_url": "https://img3.gelbooru.com/images/ab/cd/abcd.jpeg",
    "category": "gelbooru",
}
TWITTER = {"tweet_id": 1790, "hashtags": ["art", "oc"], "sensitive": True, "category": "twitter"}
E621 = {
    "id": 4000000,
    "file": {"url": "https://static1.e621.net/data/ab/cd/abcd.png", "ext": "png"},
    "tags": {"general": ["smile"], "artist": ["someone"]},
    "sources": ["https://a.example.com/1", "https://b.example.com/2"],
    "rating": "s",
    "category": "e621",
}
PAGE = "https://www.deviantart.com/someone/art/Title-123"
PICTURE = "https://live.staticflickr.com/1/53_abc_o.jpg"
POST = "https://gelbooru.com/index.php?page=post&s=view&id=9876543"
SOURCES = "https://a.example.com/1 https://b.example.com/2"
EXPECTED = [
    (
        DANBOORU,
        Provenance(
            DANBOORU["file_url"],
            "https://danbooru.donmai.us/posts/7412345",
            ("1girl", "smile", "artist_name"),
            "sensitive",
            f"{PXIMG}/1_p0.png",
        ),
    ),
    (
        GELBOORU,
        Provenance(GELBOORU["file_url"], POST, ("1girl", "bow", "don't_smile"), "general"),
    ),
    (TWITTER, Provenance("", "https://x.com/i/web/status/1790", ("art", "oc"), "sensitive")),
    (
        E621,
        Provenance(
            E621["file"]["url"],
            "https://e621.net/posts/4000000",
            ("smile", "someone"),
            "general",
            SOURCES,
        ),
    ),
    (
        {"url": PICTURE, "license": "4", "license_name": "Attribution License"},
        Provenance(PICTURE, licence="Attribution License"),
    ),
    ({"url": PAGE, "tags": ["Two Words"]}, Provenance(page=PAGE, tags=("Two Words",))),
    ({}, Provenance()),
]


def parse(values):
    return parse_sidecar(json.dumps(values).encode())


def test_the_fields_of_each_site_become_an_entry():
    for values, expected in EXPECTED:
        assert parse(values) == expected
    assert parse_sidecar(b"\xef\xbb\xbf" + json.dumps(E621).encode()) == parse(E621)


@pytest.mark.parametrize(
    ("values", "tags"),
    [
        ({"tag_string": "b a b"}, ("b", "a")),
        ({"tags": "one, two words, three"}, ("one", "two words", "three")),
        ({"tags": [{"name": "a", "translated_name": None}, {"name": "b"}]}, ("a", "b")),
        ({"tag_string_artist": "x", "tags_general": ["y", "z"]}, ("x", "y", "z")),
        ({"tags": [None, 5, True, ["x"], {"id": 3}, " a  b "]}, ("5", "a b")),
        ({"tags": "a\ud800 b\nc"}, ("a\\ud800", "b", "c")),
        ({"tags": 3}, ()),
    ],
)
def test_tags_come_in_many_shapes(values, tags):
    assert parse(values).tags == tags


@pytest.mark.parametrize(
    ("rating", "category", "expected"),
    [
        ("s", "konachan", "general"),
        ("s", "who_knows", "sensitive"),
        ("R-18G", "pixiv", "explicit"),
        ("sketchy", "wallhaven", "sketchy"),
        ({"x": 1}, "danbooru", ""),
    ],
)
def test_ratings_have_one_vocabulary(rating, category, expected):
    assert parse({"rating": rating, "category": category}).rating == expected


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://a.org:8080/x%20y.jpg?a=1&b=%2F", "http://a.org:8080/x%20y.jpg?a=1&b=%2F"),
        ("https://me:secret@a.org/x.jpg", "https://a.org/x.jpg"),
        ("https://a.org/x.jpg?id=3&api_key=S&user_id=5&login=me", "https://a.org/x.jpg?id=3"),
        ("https://a.org/x.jpg?password_hash=S;q=1", "https://a.org/x.jpg?q=1"),
        ("https://a.org/x.jpg?API-Key=S&a%70i_key=S&Token=S", "https://a.org/x.jpg"),
        ("https://a.org/x.jpg?X-Amz-Signature=S&Key-Pair-Id=S&w=5", "https://a.org/x.jpg?w=5"),
        ("https://a.org/x.jpg#access_token=S", "https://a.org/x.jpg"),
        ("https://a.org/x?author=me&monkey=1#part", "https://a.org/x?author=me&monkey=1#part"),
        ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
    ],
)
def test_addresses_keep_no_credential(url, kept):
    assert public_url(url) == kept
    assert public_url(kept) == kept


@pytest.mark.parametrize(
    "place", ["", "a.org:port", "[::1", "localhost:50", "192.168.1.5", "booru"]
)
def test_no_address_is_of_a_private_network_or_none(place):
    assert public_url(f"https://{place}/x.jpg") == ""
    for url in (
        "ftp://a.org/x.jpg",
        "/data/x.jpg",
        "https://a.org/x y",
        f"http://a.org/{'x' * 2000}",
    ):
        assert public_url(url) == ""


def test_addresses_in_a_text_keep_no_credential_either():
    text = "by me https://u:p@a.org/1?token=S&n=2 and http://127.0.0.1:8000/x"
    assert strip_secrets(text) == "by me https://a.org/1?n=2 and"


def test_pages_and_relative_addresses_are_of_the_site_alone():
    for number in ("1/../../x", "", None, True, 1.5, "x" * 99, [1]):
        assert parse({"category": "danbooru", "id": number}).page == ""
    values = {**DANBOORU, "file_url": "/data/original/x.jpg"}
    assert parse(values).url == "https://danbooru.donmai.us/data/original/x.jpg"
    values = {**DANBOORU, "file_url": "//cdn.donmai.us/x.jpg"}
    assert parse(values).url == "https://cdn.donmai.us/x.jpg"
    assert parse({"file_url": "/data/original/x.jpg"}).url == ""


def test_values_of_any_type_never_break_a_sidecar():
    odd = [None, True, 1, -1.5, "", "x", "https://[::1/x.jpg", [], {}, [[]], {"url": {}}]
    keys = ["id", "category", "tags", "rating", "file", "file_url", "url", "source", "sources"]
    keys += ["license", "licence", "hashtags", "tags_x", "tag_string", "sensitive", "tweet_id"]
    for key in keys:
        for value, others in product(odd, (DANBOORU, {})):
            found = parse({**others, key: value})
            texts = (found.url, found.page, found.rating, found.source, found.licence, *found.tags)
            assert all(isinstance(text, str) for text in texts), (key, value)
