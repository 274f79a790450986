"""The local booru: its API, its pictures, its deliberate faults, and its end."""

import io
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from PIL import Image

from pipeline.gallery.server import BUSY_POST, FORBIDDEN_POST, Gallery, fault_of, picture_of, serve


def paint(seed, size):
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (seed % 256, seed // 256, 99)).save(stream, "JPEG")
    return stream.getvalue()


def describe(seed):
    return ["solo", "even" if seed % 2 == 0 else "odd"]


GALLERY = Gallery(count=450, size=24, seed=7, paint=paint, describe=describe)


@pytest.fixture(scope="module")
def root():
    with serve(GALLERY, processes=1) as root:
        yield root


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read()


def listing(root, **query):
    return json.loads(get(f"{root}/posts.json?{urlencode(query)}"))


def status_of(url):
    """The status and Retry-After of an error."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(url)
    caught.value.close()
    return caught.value.code, caught.value.headers["Retry-After"]


def test_every_post_is_on_exactly_one_page_newest_first_with_the_fields_of_danbooru(root):
    walked = [post["id"] for post in listing(root, limit=200)]
    while page := listing(root, limit=999, page=f"b{walked[-1]}"):
        walked += [post["id"] for post in page]
    assert walked == list(range(450, 0, -1))
    (post,) = listing(root, limit=1, page="b17")
    assert post == {
        "id": 16,
        "source": "painter:23",
        "rating": "g",
        "tag_string": "odd solo",
        "file_url": f"{root}/data/16.jpg",
    }


def test_a_picture_is_painted_from_its_seed_and_faults_are_where_they_should_be(root):
    for post in (13, FORBIDDEN_POST):
        assert status_of(f"{root}/data/{post}.jpg") == (404, None)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda post: get(f"{root}/data/{post}.jpg"), range(1, 12)))
    assert found == [paint(7 + post, 24) for post in range(1, 12)]
    truncated = get(f"{root}/data/77.jpg")
    assert paint(84, 24).startswith(truncated)
    with pytest.raises(OSError, match=r"(?i)truncated"):
        Image.open(io.BytesIO(truncated)).load()
    assert get(f"{root}/data/50.jpg") == get(f"{root}/data/49.jpg")
    assert status_of(f"{root}/data/{BUSY_POST}.jpg") == (429, "1")
    assert get(f"{root}/data/{BUSY_POST}.jpg") == paint(7 + BUSY_POST, 24)
    assert b"Disallow: /private/" in get(f"{root}/robots.txt")
    (post,) = listing(root, limit=1, page=f"b{FORBIDDEN_POST + 1}")
    assert post["file_url"] == f"{root}/private/{FORBIDDEN_POST}.jpg"


def test_enough_pictures_are_left_of_the_default_gallery():
    posts = range(1, 5201)
    good = {picture_of(post) for post in posts if fault_of(post) in (None, "busy")}
    assert len(good) >= 5000
    assert len([post for post in posts if fault_of(post)]) >= 60
    assert len([post for post in posts if picture_of(post) != post]) >= 20


def test_the_server_stops_after_the_block():
    with serve(GALLERY, processes=1) as root:
        get(f"{root}/robots.txt")
    with pytest.raises(urllib.error.URLError):
        get(f"{root}/robots.txt")
