"""Sheet of rejects."""

import numpy as np
import pytest
from PIL import Image

from pipeline.pictures.captions import CAPTION, GAP, RED, TILE, TITLE
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.sheets.rejects import SHOWN, rejects_sheet
from pipeline.preprocessing.tables import Rejected

GREEN = (20, 160, 60)


def page(row):
    return Image.new("RGB", (400, 200), GREEN)


def no_avatar(number):
    raise AssertionError("none was left out for its looks")


def faces(count, reason="face too small", first=0):
    box = Box(100, 50, 100, 100)
    return [Rejected(first + i, f"/{i}.png", Reject(reason, "small", box)) for i in range(count)]


def tile(sheet, line, column):
    top = line * (TITLE + TILE + CAPTION + GAP) + TITLE
    left = GAP + column * (TILE + GAP)
    return sheet[top : top + TILE, left : left + TILE]


def test_the_box_is_drawn_where_it_is_on_the_picture():
    sheet = np.asarray(rejects_sheet(faces(1), page, no_avatar))
    shown = tile(sheet, 0, 0)
    # 400x200 in a tile of 128: scale 0.32, 32 pixels down; the box is 32x32 at 32,48
    assert tuple(shown[64, 10]) == GREEN
    assert tuple(shown[48, 40]) == RED
    assert tuple(shown[80, 40]) == RED
    assert tuple(shown[60, 32]) == RED
    assert tuple(shown[64, 48]) == GREEN
    assert tuple(shown[5, 5]) not in (GREEN, RED)
    red = np.argwhere((shown == RED).all(axis=2))
    assert red.min(axis=0).tolist() == [48, 32]
    assert red.max(axis=0).tolist() == [80, 64]


def test_a_sample_of_each_reason_is_spread_evenly():
    asked = []

    def load(row):
        asked.append(row)
        return page(row)

    rejects_sheet(faces(80) + faces(2, "no face", first=500), load, no_avatar)
    assert asked == [*range(0, 80, 10), 500, 501]
    assert len(asked) == SHOWN + 2


def test_a_picture_that_cannot_be_opened_is_shown_by_its_reason():
    rejects = [Rejected(7, "/7.png", Reject("unreadable", "image file is truncated"))]
    with_text = np.asarray(rejects_sheet(rejects, lambda row: None, no_avatar))
    other = [Rejected(7, "/7.png", Reject("unreadable", ""))]
    without = np.asarray(rejects_sheet(other, lambda row: None, no_avatar))
    assert with_text.shape == without.shape
    assert (tile(with_text, 0, 0) != tile(without, 0, 0)).any()


def test_without_rejects_the_sheet_is_a_line_of_text():
    sheet = np.asarray(rejects_sheet([], page, no_avatar))
    assert sheet.shape[0] < 40
    assert sheet.min() < 100


def test_equal_rejects_give_equal_pictures():
    rejects = faces(5) + faces(3, "no face")
    sheets = [rejects_sheet(rejects, page, no_avatar).tobytes() for _ in range(2)]
    assert sheets[0] == sheets[1]


@pytest.mark.parametrize("number", [0, 9])
def test_a_filtered_avatar_is_shown_itself(number):
    reject = Reject("blurred", "sharpness 3", Box(1, 1, 9, 9))
    blurred = [Rejected(5, "/5.png", reject, avatar=number)]
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    asked = []

    def avatar(wanted):
        asked.append(wanted)
        return Image.fromarray(pixels)

    def no_page(row):
        raise AssertionError("the full picture is not wanted")

    shown = tile(np.asarray(rejects_sheet(blurred, no_page, avatar)), 0, 0)
    assert asked == [number]
    assert np.array_equal(shown, pixels.repeat(2, axis=0).repeat(2, axis=1))


def test_alternating_reasons_are_shown_in_manifest_order():
    rejects = [faces(1, reason, row)[0] for row in range(0, 40, 2) for reason in ("b", "a")]
    asked = []
    rejects_sheet(rejects, lambda row: asked.append(row), no_avatar)
    each = [2 * (i * 20 // SHOWN) for i in range(SHOWN)]
    assert asked == each + each


def test_the_list_is_iterated_once_for_all_reasons():
    class Counted(list):
        walked = 0

        def __iter__(self):
            Counted.walked += 1
            return super().__iter__()

    rejects_sheet(Counted(faces(1, str(i))[0] for i in range(20)), page, no_avatar)
    assert 1 <= Counted.walked <= 2
