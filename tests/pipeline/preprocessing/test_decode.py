"""Decoding: every format and mode becomes the same square RGB array."""

import io
import struct
import zlib

import numpy as np
import pytest
from picture_files import WHITE, corners, decode_square, encode, plain, png_of, quarters
from PIL import Image
from preprocess_inputs import section

from pipeline.pictures.formats import FORMATS
from pipeline.preprocessing.decoding.decode import BadImageError

SIZE = 32
SETTINGS = section(size=SIZE, max_pixels=1_000_000)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_a_square_rgb_array(kind):
    array = decode_square(encode(quarters(), kind), SETTINGS)
    assert array.shape == (SIZE, SIZE, 3)
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    expected = decode_square(encode(quarters()), SETTINGS).astype(int)
    assert np.abs(array[::31, ::31] - expected[::31, ::31]).max() < 12


@pytest.mark.parametrize(
    "data",
    [
        *(encode(quarters(), "ICO"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        *(b"", b"hello, I am called cat.jpg", b"\xff\xd8\xff\xe0"),
    ],
)
def test_what_is_no_picture_of_a_known_format_is_bad(data):
    with pytest.raises(BadImageError, match="not a picture in JPEG"):
        decode_square(data, SETTINGS)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_bad(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(BadImageError) as caught:
        decode_square(data[: int(len(data) * share)], SETTINGS)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_random_damage_gives_a_picture_or_a_bad_image_error():
    rng = np.random.default_rng(1)
    for kind in FORMATS:
        whole = np.frombuffer(encode(quarters(), kind), np.uint8)
        for _ in range(100):
            data = whole.copy()
            data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
            try:
                assert decode_square(data.tobytes(), SETTINGS).shape == (SIZE, SIZE, 3)
            except BadImageError as error:
                assert str(error)  # noqa: PT017


def test_damaged_exif_leaves_the_picture_as_it_is(recwarn):
    data = encode(quarters(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\x07" * 40)
    assert corners(decode_square(data, SETTINGS))[0][0] > 240
    assert not recwarn.list


@pytest.mark.parametrize("crop", ["square", "pad"])
@pytest.mark.parametrize(
    ("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "GIF")]
)
def test_transparent_pixels_show_the_background(mode, kind, crop):
    image = plain((0, 0) if mode == "LA" else (0, 0, 0, 0), mode, (48, 40))
    settings = section(size=SIZE, background=[10, 20, 30], crop=crop)
    options = {"lossless": True} if kind == "WEBP" else {}
    array = decode_square(encode(image, kind, **options), settings)
    assert np.unique(array.reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_shows_the_background(kind):
    image = quarters().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    red = image.getpixel((0, 0))
    array = decode_square(
        encode(image, kind, transparency=red), section(size=SIZE, background=[9, 9, 9])
    )
    assert corners(array) == [(9, 9, 9), (0, 255, 0), (0, 0, 255), WHITE]


def test_palettes_grey_and_colour_keys_may_be_transparent():
    image = Image.new("P", (48, 48))
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 16, 48, 32))
    image.paste(2, (0, 32, 48, 48))
    array = decode_square(encode(image, transparency=bytes([0, 128, 255])), SETTINGS)
    for other, key in ((plain(7, "L"), 7), (plain((7, 8, 9)), (7, 8, 9))):
        assert decode_square(encode(other, transparency=key), SETTINGS).min() == 255
    assert array[[3, 16, 28], 5].tolist() == [[255] * 3, [255, 127, 127], [0, 0, 255]]


@pytest.mark.parametrize(
    ("mode", "kind", "size", "colour"),
    [("L", "PNG", 48, 100), ("L", "JPEG", 700, 100), ("1", "PNG", 48, 255)],
)
def test_grey_is_the_same_in_all_channels(mode, kind, size, colour):
    array = decode_square(encode(plain(colour, mode, (size, size)), kind), SETTINGS)
    assert array.shape == (SIZE, SIZE, 3)
    assert np.unique(array).tolist() == [colour]


INKS, PRINTED = (55, 195, 225), (200, 60, 30)  # without black: what inks leave of white


def cmyk_jpeg(values, transform, size=48):
    """A CMYK JPEG as Adobe writes it: inverted, plain (transform 0) or as YCCK (2)."""
    data = encode(plain(values, "CMYK", (size, size)), "JPEG", quality=95)
    place = data.index(b"Adobe") + 11
    assert data[place] == 0
    return data[:place] + bytes([transform]) + data[place + 1 :]


@pytest.mark.parametrize("size", [48, 700], ids=["small", "shrunk by libjpeg"])
@pytest.mark.parametrize("form", ["plain", "YCCK", "without a mark"])
def test_cmyk_becomes_rgb(form, size):
    if form == "YCCK":
        luma_chroma = plain(INKS).convert("YCbCr").getpixel((0, 0))
        data = cmyk_jpeg((*(255 - level for level in luma_chroma), 0), 2, size)
    else:
        data = cmyk_jpeg((*INKS, 0), 0, size)
    if form == "without a mark":
        mark = data.index(b"\xff\xee")
        data = data[:mark] + data[mark + 16 :]
        assert b"Adobe" not in data
    array = decode_square(data, SETTINGS)
    assert np.abs(array.astype(int) - PRINTED).max() < 6


def png16(colour_type, pixel, **transparency):
    """A 40x40 PNG of 16 bits a channel."""
    line = b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * 40
    data = transparency | {"IDAT": zlib.compress(line * 40), "IEND": b""}
    return png_of(40, 40, 16, colour_type, **data)


@pytest.mark.parametrize(
    ("colour_type", "pixel", "expected"),
    [
        (0, (0x8000,), (128, 128, 128)),
        (2, (0xFFFF, 0x8000, 0), (255, 128, 0)),
        (4, (0x8000, 0xFFFF), (128, 128, 128)),
        (6, (0xFFFF, 0x8000, 0, 0xFFFF), (255, 128, 0)),
        (6, (0xFFFF, 0x8000, 0, 0), WHITE),
    ],
    ids=["grey", "colour", "grey and alpha", "colour and alpha", "clear"],
)
def test_sixteen_bits_a_channel(colour_type, pixel, expected):
    array = decode_square(png16(colour_type, pixel), SETTINGS)
    assert np.unique(array.reshape(-1, 3), axis=0).tolist() == [list(expected)]
    clear = decode_square(png16(0, (0x1234,), tRNS=b"\x12\x34"), SETTINGS)
    solid = decode_square(png16(0, (0x1235,), tRNS=b"\x12\x34"), SETTINGS)
    assert (clear.min(), solid.max()) == (255, 0x12)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [plain((0, 200, 0)), plain((200, 0, 0))]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    pixels = decode_square(data, SETTINGS).reshape(-1, 3)
    assert np.unique(pixels, axis=0).tolist() == [[0, 200, 0]]


def test_a_picture_of_more_than_max_pixels_is_refused_by_its_header():
    with pytest.raises(BadImageError, match="60000x60000 is more than 1000000 pixels"):
        decode_square(png_of(60_000, 60_000), SETTINGS)
    data = encode(plain((1, 2, 3), size=(50, 40)))
    assert decode_square(data, section(size=SIZE, max_pixels=2000)).max() == 3
    with pytest.raises(BadImageError, match="50x40 is more than 1999 pixels"):
        decode_square(data, section(size=SIZE, max_pixels=1999))


def test_pillows_own_limit_is_restored(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert decode_square(encode(quarters()), SETTINGS).shape == (SIZE, SIZE, 3)
    for data in (b"x", encode(quarters())[:-40]):
        with pytest.raises(BadImageError):
            decode_square(data, SETTINGS)
    assert Image.MAX_IMAGE_PIXELS == 500
