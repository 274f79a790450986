"""Avatars of one file: boxes, sides, and pictures refused by their header."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.preprocessing.decoding.avatars import FaceRecipe, Recipe, make_avatars
from pipeline.preprocessing.decoding.crop import Frame
from pipeline.preprocessing.decoding.decode import Geometry
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.detector import Detector
from pipeline.preprocessing.faces.rules import UNREADABLE, FaceRules
from pipeline.preprocessing.filters import LONG_PICTURE, SMALL_PICTURE, FilterRules

SQUARE = Geometry(32, (255, 255, 255), 1_000_000)
PAD = Geometry(32, (255, 255, 255), 1_000_000, "pad")
FACES = FaceRecipe(Detector("boxes"), FaceRules(0.0, 20, 0.1, 4), Frame(1.5, 0.5))
RULES = FilterRules(min_side=48, max_aspect=2.0)


def picture(width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def header_alone(width, height):
    """A PNG that has a size and nothing to decode."""

    def chunk(body):
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR" + size) + chunk(b"IDAT")


@pytest.mark.parametrize("faces", [None, FACES], ids=["whole pictures", "pages"])
@pytest.mark.parametrize(
    ("size", "reason"), [((47, 60), SMALL_PICTURE), ((300, 100), LONG_PICTURE)]
)
def test_a_refused_picture_is_not_decoded(faces, size, reason):
    boxes = (Box(0, 0, 40, 40),)
    result = make_avatars(header_alone(*size), Recipe(SQUARE, faces, RULES), boxes)
    assert [each.reason for each in result.rejects] == [reason]
    assert (result.avatars, result.faces_found) == ((), 0)
    allowed = make_avatars(header_alone(*size), Recipe(SQUARE, faces), boxes)
    assert [each.reason for each in allowed.rejects] == [UNREADABLE]


@pytest.mark.parametrize(
    ("geometry", "side"), [(SQUARE, 61), (PAD, 100)], ids=["the centre", "the whole"]
)
@pytest.mark.parametrize("size", [(61, 100), (100, 61)])
def test_a_picture_is_one_avatar_with_the_side_that_was_cut_out(geometry, side, size):
    result = make_avatars(picture(*size), Recipe(geometry, None, RULES))
    (avatar,) = result.avatars
    assert (result.faces_found, result.rejects) == (1, ())
    assert (avatar.side, avatar.box) == (side, None)
    assert avatar.pixels.shape == (32, 32, 3)
    assert avatar.pixels.dtype == np.uint8
    assert avatar.pixels.flags.c_contiguous


def test_an_avatar_of_a_face_has_its_box_and_the_side_of_its_crop():
    box = Box(10, 20, 40, 30)
    result = make_avatars(picture(100, 90), Recipe(SQUARE, FACES, RULES), (box, Box(0, 0, 5, 5)))
    (avatar,) = result.avatars
    assert (avatar.box, avatar.side) == (box, 60)
    assert avatar.pixels.shape == (32, 32, 3)
    assert avatar.pixels.flags.c_contiguous
    assert (result.faces_found, len(result.rejects)) == (2, 1)


def test_a_file_that_is_no_picture_is_a_reject():
    result = make_avatars(b"<html>", Recipe(SQUARE))
    assert [each.reason for each in result.rejects] == [UNREADABLE]
    assert result.faces_found == 0
