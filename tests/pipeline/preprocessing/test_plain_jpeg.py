"""Fast decoding of plain JPEGs: the pixels of Pillow, which gets all other files."""

import numpy as np
import pytest
from picture_files import encode, soft, stored
from PIL import Image

from pipeline.preprocessing.decoding.avatars import Recipe, make_avatars
from pipeline.preprocessing.decoding.decode import Geometry, decode_square
from pipeline.preprocessing.decoding.plain_jpeg import PlainJpeg
from pipeline.preprocessing.faces.rules import UNREADABLE
from pipeline.preprocessing.filters import SMALL_PICTURE, FilterRules

SQUARE = Geometry(64, (255, 255, 255), 1_000_000)
PAD = Geometry(64, (10, 20, 30), 1_000_000, "pad")


def noisy(width, height, mode="RGB"):
    noise = np.random.default_rng(width * height).integers(0, 60, (height, width, 3))
    return Image.fromarray(
        (np.asarray(soft(width, height)) // 2 + noise).astype(np.uint8)
    ).convert(mode)


@pytest.mark.parametrize("geometry", [SQUARE, PAD], ids=["square", "pad"])
@pytest.mark.parametrize("size", [(96, 96), (97, 64), (33, 90), (121, 127), (8, 9)])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0, "quality": 95},
        {"subsampling": 1, "quality": 40},
        {"subsampling": 2},
        {"progressive": True},
        {"restart_marker_blocks": 2},
        {"comment": b"by hand"},
        {"icc_profile": b"no profile"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_the_pixels_equal_pillows(geometry, size, options):
    data = encode(noisy(*size), "JPEG", **options)
    plain = PlainJpeg.open(data, geometry)
    assert plain is not None
    assert plain.size == size
    assert np.array_equal(plain.load_square(geometry), decode_square(data, geometry))


def test_grey_and_trailing_bytes_are_plain_too():
    for data in (encode(noisy(90, 80, "L"), "JPEG"), encode(noisy(90, 80), "JPEG") + b"more"):
        plain = PlainJpeg.open(data, SQUARE)
        assert plain is not None
        assert np.array_equal(plain.load_square(SQUARE), decode_square(data, SQUARE))


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
        encode(noisy(256, 300), "JPEG"),
    ],
    ids=[
        "nothing",
        "start",
        "png",
        "cmyk",
        "turned",
        "turned by XMP",
        "too large",
        "to be shrunk",
    ],
)
def test_what_is_not_plain_is_left_to_pillow(data):
    assert PlainJpeg.open(data, SQUARE) is None


def test_a_damaged_file_gets_pillows_judgement():
    whole = encode(noisy(96, 96), "JPEG")
    cut = whole[: len(whole) // 2]
    plain = PlainJpeg.open(cut, SQUARE)
    assert plain is not None
    assert plain.load_square(SQUARE) is None
    (reject,) = make_avatars(cut, Recipe(SQUARE)).rejects
    assert reject.reason == UNREADABLE
    assert "truncated" in reject.detail


@pytest.mark.parametrize("place", range(0, 2000, 90))
def test_a_flipped_byte_gives_the_same_as_pillow(place):
    data = bytearray(encode(noisy(96, 96), "JPEG", quality=60))
    data[place % len(data)] ^= 0x55
    result = make_avatars(bytes(data), Recipe(SQUARE))
    try:
        expected = decode_square(bytes(data), SQUARE)
    except Exception:
        assert result.rejects
    else:
        assert np.array_equal(result.avatars[0].pixels, expected)


def test_a_small_picture_is_refused_by_its_header():
    data = encode(noisy(40, 60), "JPEG")
    cut = data[:700]  # no pixel could be decoded
    result = make_avatars(cut, Recipe(SQUARE, filters=FilterRules(min_side=48)))
    assert [each.reason for each in result.rejects] == [SMALL_PICTURE]


def test_a_picture_too_long_for_the_borders_is_a_reject():
    pad = Geometry(32, (255, 255, 255), 1_000_000, "pad")
    (reject,) = make_avatars(encode(noisy(1, 100), "JPEG"), Recipe(pad)).rejects
    assert reject.reason == UNREADABLE
    assert "100 times as long as wide" in reject.detail
