"""Pages of the gallery: reproducible, every face uncovered, boxes and tags correct."""

import hashlib
import io
import json
import subprocess
import sys
import urllib.request
from itertools import combinations, pairwise

import imagehash
import numpy as np
import pytest
from PIL import Image

from pipeline.gallery.design import Design, design
from pipeline.gallery.head import Head
from pipeline.gallery.layout import SCENES, layout, on_page
from pipeline.gallery.page import face_boxes, page_size, page_tags, paint_page, paint_page_jpeg
from pipeline.gallery.palette import EYE_COLOURS
from pipeline.gallery.server import Gallery, serve
from pipeline.gallery.tagging import appearance_tags

_DIGESTS = """
import hashlib
from pipeline.gallery.page import paint_page_jpeg
print(hashlib.sha256(b"".join(paint_page_jpeg(seed, 96) for seed in range(8))).hexdigest())
"""
HEAD = 92 / 64
"""Height of a head with its hair, over the side of its face's box."""


def test_another_process_paints_the_same_bytes() -> None:
    here = hashlib.sha256(b"".join(paint_page_jpeg(seed, 96) for seed in range(8)))
    there = subprocess.run(
        [sys.executable, "-c", _DIGESTS], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here.hexdigest()


def test_the_order_of_painting_does_not_matter() -> None:
    forward = [paint_page_jpeg(seed, 80) for seed in range(6)]
    assert forward[::-1] == [paint_page_jpeg(seed, 80) for seed in reversed(range(6))]


@pytest.mark.parametrize("size", [64, 150, 256])
def test_the_shorter_side_is_as_asked(size: int) -> None:
    for seed in range(4):
        jpeg = Image.open(io.BytesIO(paint_page_jpeg(seed, size)))
        assert (jpeg.format, jpeg.mode, jpeg.size) == ("JPEG", "RGB", page_size(seed, size))
        assert min(jpeg.size) == size
        assert set(jpeg.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_pages_are_of_many_shapes() -> None:
    aspects = [wide / high for wide, high in (page_size(seed, 1000) for seed in range(200))]
    assert all(1.2 < max(aspect, 1 / aspect) < 1.6 for aspect in aspects)
    assert 20 < sum(aspect > 1 for aspect in aspects) < 120
    assert len({round(aspect, 2) for aspect in aspects}) > 20


def test_a_page_is_a_small_file() -> None:
    sizes = [len(paint_page_jpeg(seed, 256)) for seed in range(8)]
    assert all(8_000 < size < 120_000 for size in sizes)


def test_neighbours_differ() -> None:
    pages = [paint_page(seed, 96) for seed in range(25)]
    hashes = [imagehash.dhash(page) for page in pages]
    assert all(one - other > 4 for one, other in combinations(hashes, 2))
    assert all(one.tobytes() != other.tobytes() for one, other in pairwise(pages))


def test_every_scene_and_group_occurs_and_most_pages_show_one_character() -> None:
    plans = [layout(seed) for seed in range(400)]
    assert {panel.scene for plan in plans for panel in plan.panels} == {name for name, _ in SCENES}
    counts = [len(plan.actors) for plan in plans]
    assert set(counts) == {1, 2, 3}
    assert counts.count(1) > 200
    assert any(len(plan.panels) == 2 for plan in plans)


def test_boxes_lie_inside_the_page_and_apart_from_each_other() -> None:
    for seed in range(300):
        wide, high = page_size(seed, 300)
        boxes = face_boxes(seed, 300)
        assert len(boxes) == len(layout(seed).actors)
        for x, y, width, height in boxes:
            assert x >= 0
            assert y >= 0
            assert x + width <= wide
            assert y + height <= high
        for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(boxes, 2):
            assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay, f"seed {seed}"


def test_heads_are_a_quarter_to_little_over_half_of_the_short_side() -> None:
    heads = [width * HEAD / 300 for seed in range(300) for *_, width, _ in face_boxes(seed, 300)]
    assert min(heads) >= 0.25
    assert max(heads) <= 0.56


def test_every_body_reaches_the_edge_of_the_picture() -> None:
    for seed in range(300):
        for panel in layout(seed).panels:
            for actor in panel.actors:
                pose = actor.traits.pose
                below = (panel.top + panel.high - pose.y) / pose.zoom
                # in units of the head: the shoulders at least, and no end of the legs
                assert 80 < below < 440, f"seed {seed}"


def _iris_shows(page: np.ndarray, traits: Design, side: int) -> bool:
    """Whether the pixels low in an iris lean towards its colour."""
    x, y = Head(traits).eye(side)
    ((px, py),) = on_page(traits.pose, [(x, y + traits.eye_form.height * 0.45)])
    unit = min(page.shape[:2]) / 100
    column, row = int(px * unit), int(py * unit)
    patch = page[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3)
    wanted = np.array(EYE_COLOURS[traits.eyes[(side + 1) // 2]], dtype=float)
    return bool(np.dot(patch.mean(axis=0) - patch.mean(), wanted - wanted.mean()) > 0)


def test_eyes_lie_in_their_boxes_and_are_not_covered() -> None:
    vivid = set(EYE_COLOURS) - {"grey_eyes", "brown_eyes", "black_eyes"}
    shown = []
    for seed in range(30):
        page = np.asarray(paint_page(seed, 128), dtype=float)
        for actor in layout(seed).actors:
            traits = actor.traits
            if traits.lids == "open" and traits.light == "none" and set(traits.eyes) <= vivid:
                shown += [_iris_shows(page, traits, side) for side in (-1, 1)]
    assert len(shown) > 20
    assert sum(shown) >= 0.97 * len(shown)


def test_the_first_character_is_the_avatar_of_the_seed() -> None:
    for seed in range(50):
        avatar = design(seed)
        assert avatar.jitter in {actor.traits.jitter for actor in layout(seed).actors}


def test_tags_name_every_character() -> None:
    for seed in range(100):
        found = page_tags(seed)
        actors = layout(seed).actors
        for actor in actors:
            assert set(appearance_tags(actor.traits)) <= set(found)
        assert ("solo" in found) == (len(actors) == 1)
        assert len(found) == len(set(found))
        assert all(tag == tag.lower() and " " not in tag for tag in found)


def test_a_gallery_of_pages_lists_their_true_sizes() -> None:
    gallery = Gallery(3, 120, 40, paint_page_jpeg, page_tags, page_size)
    with serve(gallery, processes=1) as root:
        with urllib.request.urlopen(f"{root}/posts.json", timeout=20) as answer:
            posts = json.load(answer)
        for post in posts:
            with urllib.request.urlopen(post["file_url"], timeout=60) as answer:
                size = Image.open(io.BytesIO(answer.read())).size
            assert (post["image_width"], post["image_height"]) == size
    assert len({(post["image_width"], post["image_height"]) for post in posts}) == 3
