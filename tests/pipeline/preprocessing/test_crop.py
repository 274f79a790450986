"""Crops of faces, against pixels in closed form."""

import numpy as np
import pytest
from PIL import Image
from preprocess_inputs import section

from pipeline.faces.box import Box
from pipeline.preprocessing.decoding.crop import cut_square, frame_face

BLUE, RED = (10, 20, 200), (200, 30, 30)


def ramp(width=200, height=100):
    """Red is the column, green the row, blue 7."""
    pixels = np.full((height, width, 3), 7, np.uint8)
    pixels[:, :, 0] = np.arange(width)
    pixels[:, :, 1] = np.arange(height)[:, None]
    return Image.fromarray(pixels)


def framed(box, margin, centre):
    return frame_face(box, section(faces={"margin": margin, "centre": centre}).faces)


def centres(start, stop, size):
    """Where the middles of `size` pixels lie between two places, in pixel indices."""
    return start + (np.arange(size) + 0.5) * (stop - start) / size - 0.5


def test_margin_and_centre_place_the_square_around_the_box():
    assert framed(Box(100, 40, 60, 80), 2.0, 0.25) == (50, -20, 210, 140)


@pytest.mark.parametrize(
    "square", [(20, 30, 52, 62), (20.5, 30.25, 52.5, 62.25), (20.3, 10.7, 100.3, 90.7)]
)
def test_fractions_of_a_pixel_count(square):
    crop = cut_square(ramp(), square, 32).astype(float)
    assert np.abs(crop[:, :, 0] - centres(square[0], square[2], 32)).max() <= 0.51
    assert np.abs(crop[:, :, 1] - centres(square[1], square[3], 32)[:, None]).max() <= 0.51
    assert (crop[:, :, 2] == 7).all()


@pytest.mark.parametrize(
    "square",
    [(-40, 20, 24, 84), (150, 20, 250, 120), (-30, -80, 230, 180), (160, -20, 224, 44)],
    ids=["left", "right and bottom", "all around", "right and top"],
)
def test_beyond_the_picture_its_edge_is_repeated(square):
    crop = cut_square(ramp(), square, 32).astype(float)
    across = centres(square[0], square[2], 32).clip(0, 199)
    down = centres(square[1], square[3], 32).clip(0, 99)
    blurred = 1 + 0.2 * (square[2] - square[0]) / 32  # at the bend that the edge makes
    assert np.abs(crop[:, :, 0] - across).max() <= blurred
    assert np.abs(crop[:, :, 1] - down[:, None]).max() <= blurred
    far = centres(square[0], square[2], 32) < -3 * (square[2] - square[0]) / 32
    assert far.any() == (square[0] < 0)
    assert (crop[:, far, 0] <= 1).all()  # 1 where columns 0 and 1 were made one


def test_the_crop_is_pillows_own_and_large_ones_shrink_in_two_steps():
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize((1200, 1200))
    square = (101.5, 77.25, 1001.5, 977.25)
    exact = np.asarray(soft.resize((32, 32), Image.Resampling.BICUBIC, box=square)).astype(int)
    difference = np.abs(cut_square(soft, square, 32) - exact)
    assert difference.mean() < 0.6
    assert difference.max() <= 8
    noise = Image.fromarray(rng.integers(0, 256, (150, 160, 3), dtype=np.uint8))
    square = (30.4, 31.6, 120.4, 121.6)
    exact = np.asarray(noise.resize((32, 32), Image.Resampling.BICUBIC, box=square))
    assert np.array_equal(cut_square(noise, square, 32), exact)


def test_an_enormous_margin_needs_no_enormous_memory():
    page = Image.new("RGB", (2000, 1500), RED)
    crop = cut_square(page, framed(Box(0, 0, 2000, 1500), 10.0, 0.5), 64)
    assert (crop == RED).all()
