"""Pages of the gallery: reproducible, every face in its box, tags and version correct."""

import io
from itertools import combinations
from pathlib import Path

import imagehash
import pytest
from PIL import Image

from gan.errors import GanError
from pipeline.gallery.design import design
from pipeline.gallery.page import face_boxes, lay_out, page_tags, paint_page, paint_page_jpeg
from pipeline.gallery.painter import paint_jpeg
from pipeline.gallery.settings import GallerySettings
from pipeline.gallery.tagging import appearance_tags


def test_pages_depend_on_their_seed_alone_and_differ() -> None:
    forward = [paint_page(seed, 96) for seed in range(12)]
    backward = [paint_page(seed, 96) for seed in reversed(range(12))]
    assert [page.tobytes() for page in forward] == [page.tobytes() for page in backward[::-1]]
    hashes = [imagehash.dhash(page) for page in forward]
    assert all(one - other > 4 for one, other in combinations(hashes, 2))


@pytest.mark.parametrize("size", [16, 256])
def test_the_shorter_side_is_as_asked_and_a_jpeg_holds_no_metadata(size: int) -> None:
    for seed in range(4):
        for data, shape in (
            (paint_page_jpeg(seed, size), lay_out(seed, size).shape),
            (paint_jpeg(seed, size), (size, size)),
        ):
            jpeg = Image.open(io.BytesIO(data))
            assert (jpeg.format, jpeg.mode, jpeg.size) == ("JPEG", "RGB", shape)
            assert min(shape) == size
            assert set(jpeg.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_boxes_lie_on_the_page_apart_from_each_other_and_are_of_many_sizes() -> None:
    sides = set()
    for seed in range(300):
        (wide, high), boxes = lay_out(seed, 300).shape, face_boxes(seed, 300)
        for x, y, width, height in boxes:
            assert 0 <= x < x + width <= wide, f"seed {seed}"
            assert 0 <= y < y + height <= high, f"seed {seed}"
            sides.add(width)
        for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(boxes, 2):
            assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay, f"seed {seed}"
    assert min(sides) < 60
    assert max(sides) > 150


def test_tags_name_every_character_and_the_first_is_the_avatar_of_the_seed() -> None:
    counts = set()
    for seed in range(60):
        found, places = page_tags(seed), lay_out(seed, 100).places
        assert places[0].seed == seed
        for place in places:
            assert set(appearance_tags(design(place.seed))) <= set(found)
        assert ("solo" in found) == (len(places) == 1)
        assert len(found) == len(set(found))
        counts.add(len(places))
    assert counts == {1, 2, 3}


def test_a_dataset_of_an_older_painter_is_refused_with_the_line_to_write() -> None:
    pages = {**GallerySettings().identity, "view": "pages"}
    with pytest.raises(GanError, match=r"painter = 1.*painter 2"):
        GallerySettings.parse(pages, Path("source.yaml"))
    assert GallerySettings.parse(pages | {"painter": 2}, Path("source.yaml")).view == "pages"
