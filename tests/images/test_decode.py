"""Every kind of picture becomes the same square RGB array."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.images.decode import BadImageError, Geometry, decode

SIZE = 32
WHITE = (255, 255, 255)
GEOMETRY = Geometry(SIZE, WHITE, 1_000_000)


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(colour, mode="RGB", size=(48, 48)):
    return Image.new(mode, size, colour)


def quarters(width=64, height=64):
    """Red, green, blue, white from the top left, by rows."""
    image = Image.new("RGB", (2, 2))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), WHITE])
    return image.resize((width, height), Image.Resampling.NEAREST)


def corners(array):
    return [tuple(int(v) for v in array[y, x]) for y in (2, -3) for x in (2, -3)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_every_format_gives_a_square_rgb_array(kind):
    array = decode(encode(quarters(), kind), GEOMETRY)
    assert array.shape == (SIZE, SIZE, 3)
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    expected = decode(encode(quarters()), GEOMETRY).astype(int)
    assert np.abs(array[::31, ::31] - expected[::31, ::31]).max() < 12


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO", "TGA"])
def test_other_formats_are_bad(kind):
    with pytest.raises(BadImageError, match="not a picture in JPEG"):
        decode(encode(quarters(), kind), GEOMETRY)


@pytest.mark.parametrize(
    "data", [b"", b"hello, I am called cat.jpg", b"\xff\xd8\xff\xe0", b"<html>"]
)
def test_what_is_no_picture_is_bad(data):
    with pytest.raises(BadImageError, match="not a picture in JPEG"):
        decode(data, GEOMETRY)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_bad(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(BadImageError) as caught:
        decode(data[: int(len(data) * share)], GEOMETRY)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_random_damage_gives_a_picture_or_a_reason_and_nothing_else():
    rng = np.random.default_rng(1)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        whole = np.frombuffer(encode(quarters(), kind), np.uint8)
        for _ in range(100):
            data = whole.copy()
            data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
            try:
                assert decode(data.tobytes(), GEOMETRY).shape == (SIZE, SIZE, 3)
            except BadImageError as error:
                assert str(error)  # noqa: PT017


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    undone = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = quarters().point(
        lambda level: 60 + level // 2
    )  # room for what the filter overshoots
    stored = upright if orientation == 1 else upright.transpose(undone[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = decode(encode(stored, "PNG", exif=exif), GEOMETRY)
    expected = decode(encode(upright), GEOMETRY).astype(int)
    assert np.abs(array - expected).max() <= 1  # rows first or columns first round differently
    jpeg = decode(encode(stored, "JPEG", exif=exif, quality=95, subsampling=0), GEOMETRY)
    assert np.abs(jpeg.astype(int) - array).max() < 40


def test_damaged_exif_leaves_the_picture_as_it_is(recwarn):
    data = encode(quarters(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\x07" * 40)
    assert corners(decode(data, GEOMETRY))[0][0] > 240
    assert not recwarn.list


@pytest.mark.parametrize("mode", ["RGBA", "LA"], ids=["colour with alpha", "grey with alpha"])
def test_transparent_pixels_show_the_background(mode):
    image = plain((0, 0) if mode == "LA" else (0, 0, 0, 0), mode)
    geometry = Geometry(SIZE, (10, 20, 30), 10_000)
    assert np.unique(decode(encode(image), geometry).reshape(-1, 3), axis=0).tolist() == [
        [10, 20, 30]
    ]


def test_half_transparent_black_over_white_is_mid_grey():
    array = decode(encode(plain((0, 0, 0, 128), "RGBA")), GEOMETRY)
    assert np.abs(array.astype(int) - 127).max() <= 1


def test_hidden_colour_does_not_bleed_into_the_edge():
    image = plain((255, 0, 0, 0), "RGBA", (64, 64))
    image.paste((255, 255, 255, 255), (0, 0, 33, 64))
    assert decode(encode(image), GEOMETRY).min() == 255


def test_a_palette_gives_its_colours():
    image = quarters().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert corners(decode(encode(image), GEOMETRY)) == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        WHITE,
    ]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_shows_the_background(kind):
    image = quarters().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    red = image.getpixel((0, 0))
    array = decode(encode(image, kind, transparency=red), Geometry(SIZE, (9, 9, 9), 10_000))
    assert corners(array) == [(9, 9, 9), (0, 255, 0), (0, 0, 255), WHITE]


def test_transparent_grey_and_colour_keys_show_the_background():
    for image, key in ((plain(7, "L"), 7), (plain((7, 8, 9)), (7, 8, 9))):
        assert decode(encode(image, transparency=key), GEOMETRY).min() == 255


@pytest.mark.parametrize(("mode", "colour"), [("L", 100), ("1", 255)])
def test_grey_is_the_same_in_all_channels(mode, colour):
    array = decode(encode(plain(colour, mode)), GEOMETRY)
    assert np.unique(array).tolist() == [colour]


def test_cmyk_becomes_rgb():
    cyan = decode(encode(plain((255, 0, 0, 0), "CMYK"), "JPEG", quality=95), GEOMETRY)
    assert np.abs(cyan.astype(int) - (0, 255, 255)).max() < 6


def test_sixteen_bit_grey_keeps_its_range():
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    array = decode(encode(Image.fromarray(ramp)), GEOMETRY)
    assert array.min() <= 4
    assert array.max() >= 251
    assert abs(float(array.mean()) - 127.5) < 1


def png16(colour_type, pixel, extra=b""):
    """A 40x40 PNG of 16 bits a channel, which Pillow itself cannot write in colour."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 40, 40, 16, colour_type, 0, 0, 0)
    line = b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * 40
    data = chunk(b"IDAT", zlib.compress(line * 40))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + (chunk(b"tRNS", extra) if extra else b"") + data + chunk(b"IEND", b"")


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
    array = decode(png16(colour_type, pixel), GEOMETRY)
    assert np.unique(array.reshape(-1, 3), axis=0).tolist() == [list(expected)]


def test_a_transparent_level_of_sixteen_bits_shows_the_background():
    clear = decode(png16(0, (0x1234,), struct.pack(">H", 0x1234)), GEOMETRY)
    solid = decode(png16(0, (0x1235,), struct.pack(">H", 0x1234)), GEOMETRY)
    assert (clear.min(), solid.max()) == (255, 0x12)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [plain((0, 200, 0)), plain((200, 0, 0))]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.unique(decode(data, GEOMETRY).reshape(-1, 3), axis=0).tolist() == [[0, 200, 0]]


@pytest.mark.parametrize("size", [(96, 32), (32, 96)])
def test_the_centre_square_is_cut_out(size):
    image = plain((255, 0, 0), size=size)
    left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
    image.paste((0, 0, 255), (left, top, left + 32, top + 32))
    array = decode(encode(image), GEOMETRY)
    assert np.unique(array.reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("side", [64, 96, 1000])
def test_a_checkerboard_shrinks_to_grey(kind, side):
    board = (np.indices((side, side)).sum(0) % 2 * 255).astype(np.uint8)
    data = encode(
        Image.fromarray(board).convert("RGB"), kind, **({"quality": 95} if kind == "JPEG" else {})
    )
    array = decode(data, GEOMETRY)[4:-4, 4:-4]
    assert array.min() > 110
    assert array.max() < 145


def test_a_large_jpeg_shrinks_as_without_draft():
    rng = np.random.default_rng(2)
    soft = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)).resize((900, 1200))
    data = encode(soft, "JPEG", quality=92)
    full = Image.open(io.BytesIO(data)).convert("RGB").crop((0, 150, 900, 1050))
    exact = np.asarray(full.resize((SIZE, SIZE), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(decode(data, Geometry(SIZE, WHITE, 2_000_000)) - exact).mean() < 0.6


def test_a_picture_of_the_right_size_is_unchanged():
    noise = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert np.array_equal(decode(encode(Image.fromarray(noise)), GEOMETRY), noise)


def test_a_smaller_picture_is_enlarged():
    array = decode(encode(plain((1, 2, 3), size=(5, 9))), GEOMETRY)
    assert np.unique(array.reshape(-1, 3), axis=0).tolist() == [[1, 2, 3]]


def test_a_bomb_is_refused_before_its_pixels_are_read():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    name = b"IHDR" + header
    data = (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + name + struct.pack(">I", zlib.crc32(name))
    )
    data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(BadImageError, match="60000x60000 is more than 1000000 pixels"):
        decode(data, GEOMETRY)


def test_max_pixels_itself_is_allowed():
    data = encode(plain((1, 2, 3), size=(50, 40)))
    assert decode(data, Geometry(SIZE, WHITE, 2000)).max() == 3
    with pytest.raises(BadImageError, match="50x40 is more than 1999 pixels"):
        decode(data, Geometry(SIZE, WHITE, 1999))


def test_pillows_own_limit_is_left_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    decode(encode(quarters()), GEOMETRY)
    with pytest.raises(BadImageError):
        decode(b"x", GEOMETRY)
    assert before == Image.MAX_IMAGE_PIXELS
