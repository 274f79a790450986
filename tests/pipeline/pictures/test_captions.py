"""Sheets of pictures, with tiles, captions and text, and PNG files."""

import numpy as np
import pytest
from PIL import Image

from pipeline.pictures.captions import (
    CAPTION,
    GAP,
    GREY,
    LARGE,
    TILE,
    TITLE,
    Line,
    add_caption,
    centre_in_tile,
    draw_lines,
    fit_into_tile,
    make_text_sheet,
    resize,
    scale_into_tile,
    text_width,
)
from pipeline.pictures.contact_sheet import contact_sheet, save_png


def noise(width, height):
    pixels = np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("side", [32, 48, 128])
def test_an_avatar_is_enlarged_by_a_whole_factor_to_96_pixels_at_least(side):
    image = noise(side, side)
    shown = np.asarray(resize(image, scale_into_tile(image.size)))
    factor = len(shown) // side
    assert 96 <= len(shown) <= TILE
    assert np.array_equal(shown, np.asarray(image).repeat(factor, 0).repeat(factor, 1))


@pytest.mark.parametrize("size", [(129, 129), (3, 4000), (1, 1)])
def test_a_picture_of_any_shape_is_whole_in_the_middle_of_a_tile(size):
    image = resize(noise(*size), scale_into_tile(size))
    tile, (left, top) = centre_in_tile(image)
    assert tile.size == fit_into_tile(noise(*size)).size == (TILE, TILE)
    assert TILE >= max(image.size) >= min(image.size) >= 1
    around = np.array(tile)
    inside = around[top : top + image.height, left : left + image.width]
    assert np.array_equal(inside, np.asarray(image))
    inside[:] = GREY
    assert (around == GREY).all()


def test_a_caption_is_cut_off_at_its_tile_and_letters_below_the_line_fit():
    tile = add_caption(noise(32, 20), "a caption that is too long for so small a picture")
    assert tile.size == (32, 20 + CAPTION)
    assert np.array_equal(np.asarray(tile)[:20], np.asarray(noise(32, 20)))
    assert np.asarray(tile)[20:].min() < 128


@pytest.mark.parametrize("text", ["limit jy |", "W" * 30])
def test_a_sheet_of_text_holds_its_line_whatever_the_letters(text):
    width = text_width(text, LARGE)
    pixels = np.asarray(make_text_sheet(text))
    assert all((edge == 255).all() for edge in (pixels[-1], pixels[0], pixels[:, -1]))
    inked = np.flatnonzero((pixels < 255).any(axis=(0, 2)))
    assert width - 5 <= inked[-1] - GAP <= width
    assert make_text_sheet("é \ud800").tobytes() == make_text_sheet("? ?").tobytes()


def test_tiles_stand_below_all_lines_of_a_text_and_each_continues_where_the_last_ended():
    sheet = draw_lines([Line("a\nb", [noise(20, 20), noise(30, 20)])])
    assert sheet.size == (20 + 30 + 3 * GAP, 2 * TITLE + 20 + 2 * GAP)
    tiles = np.asarray(sheet)[2 * TITLE + GAP :]
    inked = np.flatnonzero((tiles < 255).any(axis=(0, 2)))
    assert inked.tolist() == [*range(GAP, GAP + 20), *range(20 + 2 * GAP, 50 + 2 * GAP)]


def test_a_contact_sheet_shows_every_image_in_its_place():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((4, 6, 3), np.uint8)
    sheet = np.asarray(contact_sheet(images, 3))
    assert sheet.shape == (10, 22, 3)
    assert [sheet[0, 0, 0], sheet[3, 21, 0], sheet[9, 13, 2]] == [0, 2, 4]
    assert sheet[4, 0, 0] == sheet[9, 21, 0] == 255


def test_a_png_is_written_whole_and_always_the_same(tmp_path):
    sheet = contact_sheet(np.full((3, 8, 8, 3), 7, np.uint8), 2)
    for name in ("a.png", "b.png"):
        save_png(sheet, tmp_path / "new" / name)
    assert (tmp_path / "new/a.png").read_bytes() == (tmp_path / "new/b.png").read_bytes()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new/a.png")), np.asarray(sheet))
    assert len(list((tmp_path / "new").iterdir())) == 2
