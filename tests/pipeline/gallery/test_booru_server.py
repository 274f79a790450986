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
from pipeline.gallery.settings import GallerySettings


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
    with pytest.raises(urllib.error.URLError):  # it stops after the block
        get(f"{root}/robots.txt")


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read()


def listing(root, **query):
    return json.loads(get(f"{root}/posts.json?{urlencode(query)}"))


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
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda post: get(f"{root}/data/{post}.jpg"), range(1, 12)))
    assert found == [paint(7 + post, 24) for post in range(1, 12)]
    truncated = get(f"{root}/data/77.jpg")
    assert paint(84, 24).startswith(truncated)
    with pytest.raises(OSError, match=r"(?i)truncated"):
        Image.open(io.BytesIO(truncated)).load()
    assert get(f"{root}/data/50.jpg") == get(f"{root}/data/49.jpg")
    for post, status, wait in (
        (13, 404, None),
        (FORBIDDEN_POST, 404, None),
        (BUSY_POST, 429, "1"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"{root}/data/{post}.jpg")
        caught.value.close()
        assert (caught.value.code, caught.value.headers["Retry-After"]) == (status, wait)
    assert get(f"{root}/data/{BUSY_POST}.jpg") == paint(7 + BUSY_POST, 24)
    assert b"Disallow: /private/" in get(f"{root}/robots.txt")
    (post,) = listing(root, limit=1, page=f"b{FORBIDDEN_POST + 1}")
    assert post["file_url"] == f"{root}/private/{FORBIDDEN_POST}.jpg"


def test_enough_pictures_are_left_of_the_default_gallery():
    faults = {post: fault_of(post) for post in range(1, GallerySettings().count + 1)}
    assert len({picture_of(post) for post in faults if faults[post] in (None, "busy")}) >= 5000
    assert sum(map(bool, faults.values())) >= 60
    assert sum(picture_of(post) != post for post in faults) >= 20
