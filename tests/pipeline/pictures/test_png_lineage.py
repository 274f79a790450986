"""Lineage in the text chunks of a PNG: what is written is read back, anything else is refused."""

import json
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from gan.errors import GanError
from pipeline.pictures.png_lineage import LONGEST, make_text_chunks, read_lineage

SUBJECT = {
    "name": "hinge 32px",
    "size": 32,
    "images_seen": 64,
    "run_key": "ab" * 32,
    "weights": "averaged",
    "trained_on": "cd" * 32,
    "lineage": {"source": {"source": "ギャラリー"}, "decided": {"rate": 0.1 + 0.2}},
}


@pytest.fixture
def picture(tmp_path):
    """picture(chunks): a PNG file with these texts."""

    def write(chunks=None):
        file = tmp_path / "picture.png"
        Image.new("RGB", (4, 4), "teal").save(file, pnginfo=chunks)
        return file

    return write


def test_a_lineage_is_read_back_value_for_value(picture):
    lineage = read_lineage(picture(make_text_chunks(SUBJECT, "0-63", 0.7)))
    assert lineage == SUBJECT | {
        "format": "avatar-gan picture 1",
        "seeds": "0-63",
        "truncation": 0.7,
    }


def test_seed_and_run_key_are_plain_text_chunks(picture):
    with Image.open(picture(make_text_chunks(SUBJECT, "7"))) as image:
        texts = image.text
    assert texts["gan.seed"] == "7"
    assert texts["gan.run_key"] == SUBJECT["run_key"]


def test_equal_lineages_make_equal_files(picture):
    first = picture(make_text_chunks(SUBJECT, "7")).read_bytes()
    backwards = dict(reversed(SUBJECT.items()))
    assert picture(make_text_chunks(backwards, "7")).read_bytes() == first


def texts(**chunks):
    info = PngImagePlugin.PngInfo()
    for key, value in chunks.items():
        info.add_text(key.replace("_", "."), value, zip=len(value) > 1000)
    return info


@pytest.mark.parametrize(
    "chunks",
    [
        None,
        texts(Comment="a cat"),
        texts(gan_lineage="{"),
        texts(gan_lineage="[" * 100_000),
        texts(gan_lineage="[1]"),
        texts(gan_lineage=json.dumps({"format": "other"})),
        texts(gan_lineage=json.dumps("x" * LONGEST)),
    ],
)
def test_a_picture_without_a_valid_chunk_is_an_error(picture, chunks):
    with pytest.raises(GanError, match=r"picture\.png"):
        read_lineage(picture(chunks))


def test_a_truncated_file_gives_the_whole_lineage_or_an_error(picture, tmp_path):
    file = picture(make_text_chunks(SUBJECT, "7"))
    whole, lineage = file.read_bytes(), read_lineage(file)
    errors = []
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        try:
            assert read_lineage(file) == lineage  # only the end of the pixels is missing
        except GanError as error:
            errors.append(str(error))
    assert len(errors) > len(whole) // 7 * 0.8
    assert all(each.startswith(f"{file}: ") for each in errors)
    with pytest.raises(GanError, match=r"none\.png"):
        read_lineage(tmp_path / "none.png")


def chunk(kind, content):
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


@pytest.fixture
def huge(picture):
    """A file of a kilobyte whose header claims 400 million pixels."""
    file = picture(make_text_chunks(SUBJECT, "7"))
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    rest = file.read_bytes()[8 + 25 :]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest)
    return file


def test_a_picture_with_too_many_pixels_is_an_error(huge, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478_485)
    with pytest.raises(GanError, match="pixels"):
        read_lineage(huge)


def test_a_huge_picture_is_not_decoded_where_pillow_has_no_limit(huge, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_lineage(huge)["seeds"] == "7"  # its pixels would not decode
