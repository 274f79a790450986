"""Avatars of one file: boxes, sides, pictures refused by their header, the short way of JPEGs."""

import re

import numpy as np
import pytest
from picture_files import decode_square, encode, png_of, soft, stored
from PIL import Image
from preprocess_inputs import section

from pipeline.faces.box import Box
from pipeline.faces.detector import Detector
from pipeline.preprocessing.decoding.avatars import Recipe, make_avatars
from pipeline.preprocessing.decoding.decode import BadImageError, load_plain_jpeg
from pipeline.preprocessing.faces.rules import UNREADABLE
from pipeline.preprocessing.filters import LONG_PICTURE, SMALL_PICTURE

LIMITS = {"min_side": 48, "max_aspect": 2.0}
FACES = {"min_score": 0.0, "min_side": 20, "min_share": 0.1, "margin": 1.5, "max_faces": 4}
SQUARE = section(max_pixels=1_000_000)
PAD = section(max_pixels=1_000_000, background=[10, 20, 30], crop="pad")
BOXES = Detector("boxes")


def noisy(width, height, mode="RGB"):
    noise = np.random.default_rng(width * height).integers(0, 60, (height, width, 3))
    pixels = (np.asarray(soft(width, height)) // 2 + noise).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("detector", [None, BOXES], ids=["whole pictures", "pages"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png_of(47, 60), SMALL_PICTURE),
        (png_of(300, 100), LONG_PICTURE),
        (encode(noisy(40, 60), "JPEG")[:700], SMALL_PICTURE),
    ],
)
def test_a_refused_picture_is_not_decoded(detector, data, reason):
    boxes = (Box(0, 0, 40, 40),)
    for settings, expected in ((section(filters=LIMITS), reason), (SQUARE, UNREADABLE)):
        avatars, rejects = make_avatars(data, Recipe(settings, detector), boxes)
        assert (avatars, [each.reason for each in rejects]) == ([], [expected])


@pytest.mark.parametrize(("crop", "side"), [("square", min), ("pad", max)])
@pytest.mark.parametrize("size", [(61, 100), (100, 61), (700, 500)])
def test_a_picture_is_one_avatar_with_the_side_that_was_cut_out(crop, side, size):
    recipe = Recipe(section(crop=crop, filters=LIMITS))
    for kind in ("PNG", "JPEG"):
        (avatar,), rejects = make_avatars(encode(noisy(*size), kind), recipe)
        assert rejects == []
        assert (avatar.side, avatar.box) == (side(size), None)
        assert (avatar.pixels.shape, avatar.pixels.dtype) == ((32, 32, 3), np.uint8)
        assert avatar.pixels.flags.c_contiguous


def test_an_avatar_of_a_face_has_its_box_and_the_side_of_its_crop():
    box = Box(10, 20, 40, 30)
    recipe = Recipe(section(faces=FACES, filters=LIMITS), BOXES)
    (avatar,), rejects = make_avatars(encode(noisy(100, 90)), recipe, (box, Box(0, 0, 5, 5)))
    assert (avatar.box, avatar.side) == (box, 60)
    assert avatar.pixels.shape == (32, 32, 3)
    assert avatar.pixels.flags.c_contiguous
    assert [each.reason for each in rejects] == ["face too small"]


# --- plain JPEGs ---


@pytest.mark.parametrize("settings", [SQUARE, PAD], ids=["square", "pad"])
@pytest.mark.parametrize("size", [(96, 96), (97, 64), (33, 90), (121, 127), (8, 9)])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0, "quality": 95},
        {"progressive": True},
        {"comment": b"by hand"},
        {"icc_profile": b"no profile"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_the_pixels_of_a_plain_jpeg_equal_pillows(settings, size, options):
    settings = settings.model_copy(update={"size": 64})
    for data in (
        encode(noisy(*size), "JPEG", **options),
        encode(noisy(*size, "L"), "JPEG") + b"x",
    ):
        assert load_plain_jpeg(data, settings).size == size
        (avatar,), _ = make_avatars(data, Recipe(settings))
        assert np.array_equal(avatar.pixels, decode_square(data, settings))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        encode(noisy(90, 90)),
        encode(noisy(90, 90, "CMYK"), "JPEG"),
        stored(noisy(90, 80), 6, "JPEG"),
        encode(noisy(90, 80), "JPEG", xmp=b'<x tiff:Orientation="6"/>'),
        encode(noisy(1001, 1000, "L"), "JPEG", quality=1),
        encode(noisy(128, 300), "JPEG"),
        encode(noisy(96, 96), "JPEG")[:1500],
    ],
    ids=["nothing", "start", "png", "cmyk", "turned", "by XMP", "too large", "to shrink", "cut"],
)
def test_what_is_not_plain_is_left_to_pillow(data):
    assert load_plain_jpeg(data, SQUARE) is None


@pytest.mark.parametrize("place", range(0, 2000, 180))
def test_a_flipped_byte_gives_the_same_as_pillow(place):
    data = bytearray(encode(noisy(96, 96), "JPEG", quality=60))
    data[place % len(data)] ^= 0x55
    avatars, rejects = make_avatars(bytes(data), Recipe(SQUARE))
    if rejects:
        with pytest.raises(BadImageError, match=re.escape(rejects[0].detail)):
            decode_square(bytes(data), SQUARE)
    else:
        assert np.array_equal(avatars[0].pixels, decode_square(bytes(data), SQUARE))
