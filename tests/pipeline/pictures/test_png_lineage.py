"""What a picture says of itself survives its file, and what is no such text is told."""

import json
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from gan.errors import GanError
from pipeline.pictures.png_lineage import KEY, LONGEST, about, read_about

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


def test_what_is_said_comes_back_value_for_value(picture):
    said = read_about(picture(about(SUBJECT, "0-63", 0.7)))
    assert said == SUBJECT | {"format": "avatar-gan picture 1", "seeds": "0-63", "truncation": 0.7}


def test_other_programs_find_seed_and_run_key_without_unpacking(picture):
    with Image.open(picture(about(SUBJECT, "7"))) as image:
        texts = image.text
    assert texts["gan.seed"] == "7"
    assert texts["gan.run_key"] == SUBJECT["run_key"]


def test_equal_words_make_equal_files(picture):
    first = picture(about(SUBJECT, "7")).read_bytes()
    backwards = dict(reversed(SUBJECT.items()))
    assert picture(about(backwards, "7")).read_bytes() == first


def texts(**chunks):
    info = PngImagePlugin.PngInfo()
    for key, value in chunks.items():
        info.add_text(key.replace("_", "."), value, zip=len(value) > 1000)
    return info


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        (None, "says nothing of where it is from"),
        (texts(Comment="a cat"), "says nothing of where it is from"),
        (texts(gan_lineage="{"), "is not what `gan generate` writes"),
        (texts(gan_lineage="[" * 100_000), "is not what `gan generate` writes"),
        (texts(gan_lineage="[1]"), "is not what `gan generate` writes"),
        (texts(gan_lineage=json.dumps({"format": "other"})), "is not what `gan generate` writes"),
        (texts(gan_lineage=json.dumps("x" * LONGEST)), "says nothing|not a picture, or damaged"),
    ],
)
def test_a_picture_without_such_words_is_one_line(picture, chunks, words):
    with pytest.raises(GanError, match=words):
        read_about(picture(chunks))


def test_a_file_cut_short_says_all_or_is_one_line(picture, tmp_path):
    file = picture(about(SUBJECT, "7"))
    whole, said = file.read_bytes(), read_about(file)
    told = []
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        try:
            assert read_about(file) == said  # only the end of the pixels is missing
        except GanError as error:
            told.append(str(error))
    assert len(told) > len(whole) // 7 * 0.8
    assert all("damaged" in each or "says nothing" in each or KEY in each for each in told)
    with pytest.raises(GanError, match="no such file"):
        read_about(tmp_path / "none.png")


def chunk(kind, content):
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


@pytest.fixture
def huge(picture):
    """A picture that says to have 400 million pixels, and has none, in a kilobyte."""
    file = picture(about(SUBJECT, "7"))
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    rest = file.read_bytes()[8 + 25 :]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest)
    return file


def test_a_picture_with_too_many_pixels_is_one_line(huge, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478_485)
    with pytest.raises(GanError, match="has too many pixels"):
        read_about(huge)


def test_a_huge_picture_is_not_decoded_where_pillow_has_no_limit(huge, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_about(huge)["seeds"] == "7"  # its pixels would not decode
