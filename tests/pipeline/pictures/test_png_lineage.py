"""Lineage in the text chunks of a PNG: what is written is read back, anything else is refused."""

import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from gan.errors import GanError
from pipeline.pictures.png_lineage import LONGEST, make_text_chunks, read_lineage

SUBJECT = {
    "name": "hinge 32px",
    "images_seen": 64,
    "run_key": "ab" * 32,
    "lineage": {"source": {"source": "ギャラリー"}, "decided": {"rate": 0.1 + 0.2}},
}


@pytest.fixture
def picture(tmp_path):
    """picture(chunks): a PNG file with these texts."""

    def write(chunks):
        Image.new("RGB", (4, 4), "teal").save(tmp_path / "picture.png", pnginfo=chunks)
        return tmp_path / "picture.png"

    return write


def test_a_lineage_is_read_back_value_for_value_and_equal_ones_make_equal_files(picture):
    chunks = {"format": "avatar-gan picture 1", "seeds": "0-63", "truncation": 0.7}
    assert read_lineage(picture(make_text_chunks(SUBJECT, "0-63", 0.7))) == SUBJECT | chunks
    file = picture(make_text_chunks(SUBJECT, "7"))
    with Image.open(file) as image:
        assert image.text["gan.seed"] == "7"
        assert image.text["gan.run_key"] == SUBJECT["run_key"]
    first = file.read_bytes()
    backwards = dict(reversed(SUBJECT.items()))
    assert picture(make_text_chunks(backwards, "7")).read_bytes() == first


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[1]", '{"format": "other"}', "x" * LONGEST])
def test_a_picture_without_a_valid_chunk_is_an_error(picture, text):
    info = PngImagePlugin.PngInfo()
    for chunks in (None, info):
        with pytest.raises(GanError, match=r"picture\.png"):
            read_lineage(picture(chunks))
        info.add_text("gan.lineage", text, zip=True)


def test_a_truncated_file_gives_the_whole_lineage_or_an_error(picture, tmp_path):
    file = picture(make_text_chunks(SUBJECT, "7"))
    whole, lineage = file.read_bytes(), read_lineage(file)
    errors = 0
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        try:
            assert read_lineage(file) == lineage  # only the end of the pixels is missing
        except GanError:
            errors += 1
    assert errors > len(whole) // 7 * 0.8
    with pytest.raises(GanError, match=r"none\.png"):
        read_lineage(tmp_path / "none.png")


def test_a_huge_picture_is_refused_or_read_without_decoding_it(picture, monkeypatch):
    """A file of a kilobyte whose header claims 400 million pixels."""
    file = picture(make_text_chunks(SUBJECT, "7"))
    whole = file.read_bytes()
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    file.write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478_485)
    with pytest.raises(GanError, match="pixels"):
        read_lineage(file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_lineage(file)["seeds"] == "7"  # its pixels would not decode
