"""Kinds of files by their first bytes: pictures that are read, others, and what is none."""

import numpy as np
import pytest
from picture_files import encode, quarters
from PIL import ExifTags, Image, PngImagePlugin

from pipeline.pictures.formats import FORMATS, HEAD, SUFFIXES, identify, open_image


@pytest.mark.parametrize("kind", FORMATS)
def test_pillow_writes_and_reads_each_format_and_its_start_says_which_it_is(kind):
    data = encode(Image.new("RGB", (20, 10), (200, 30, 60)), kind)
    assert identify(data[:HEAD]) == ("" if kind == "TGA" else kind)
    with open_image(data) as image:
        assert image.format == kind
        assert image.convert("RGB").size == (20, 10)


def test_every_ending_is_one_of_these_formats():
    registered = Image.registered_extensions()
    known = {ending for ending, kind in registered.items() if kind in FORMATS}
    assert known <= SUFFIXES
    assert {f".{extension}" for extension in FORMATS.values()} <= SUFFIXES


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><p>", "HTML"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<html>", "HTML"),
        (b"<svg xmlns='x'>", "SVG"),
        (b'<?xml version="1.0"?><!DOCTYPE svg><svg >', "SVG"),
        (b'{"success": false}', "JSON"),
        (b"[]", "JSON"),
        ("こんにちは".encode() * 100, "text"),
        (b"BMX rider, P6 bus", "text"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42", "MP4 video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\xff\x0a\x00", "JPEG XL"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1", "parquet"),
        (bytes(range(256)), ""),
    ],
)
def test_other_files_are_named_by_what_they_are(data, kind):
    assert identify(data) == kind
    assert kind not in FORMATS or kind == "AVIF"


def notes(*texts, compressed=True):
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts:
        info.add_text(keyword, text, zip=compressed)
    return info


MILLION = "prompt " * 180_000
HUGE_NOTES = {
    "one": {"pnginfo": notes(("workflow", MILLION))},
    "many": {"pnginfo": notes(*((f"k{n}", "x" * 1_000_000) for n in range(70)))},
    "plain": {"pnginfo": notes(("workflow", MILLION), compressed=False)},
    "profile": {"icc_profile": bytes(1_500_000)},
}


@pytest.mark.parametrize("kind", HUGE_NOTES)
def test_side_notes_of_a_png_never_make_it_a_bad_picture(kind):
    with open_image(encode(quarters(), **HUGE_NOTES[kind])) as image:
        assert np.array_equal(np.asarray(image), np.asarray(quarters()))


def test_a_turn_in_the_notes_of_a_png_is_kept_and_a_cut_one_is_damaged():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    raw = exif.tobytes().hex()
    text = f"\nexif\n{len(raw) // 2}\n{raw}"
    data = encode(quarters(), pnginfo=notes(("Raw profile type exif", text), ("a", MILLION)))
    with open_image(data) as image:
        assert image.getexif()[ExifTags.Base.Orientation] == 6
    for end in range(8, len(data), 97):
        with pytest.raises((OSError, SyntaxError)), open_image(data[:end]) as image:
            image.load()
