"""Geometry of decoding: part of the picture, place in the square, resampling, EXIF."""

import io

import numpy as np
import pytest
from picture_files import UNDONE, decode_square, encode, plain, soft, stored
from PIL import Image
from preprocess_inputs import section

from pipeline.preprocessing.decoding.decode import BadImageError

SIZE = 32
SETTINGS = section(size=SIZE)


@pytest.mark.parametrize("size", [(96, 32), (32, 96)])
def test_the_centre_square_is_cut_out(size):
    image = plain((255, 0, 0), size=size)
    left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
    image.paste((0, 0, 255), (left, top, left + 32, top + 32))
    array = decode_square(encode(image), SETTINGS)
    assert np.unique(array.reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]


def test_a_large_jpeg_shrinks_as_without_draft():
    rng = np.random.default_rng(2)
    soft = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)).resize((900, 1200))
    data = encode(soft, "JPEG", quality=92)
    full = Image.open(io.BytesIO(data)).convert("RGB").crop((0, 150, 900, 1050))
    exact = np.asarray(full.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(decode_square(data, SETTINGS) - exact).mean() < 0.6


def test_no_jpeg_is_shrunk_below_twice_the_size(monkeypatch):
    seen = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image,
        "resize",
        lambda image, *rest, **named: seen.append(image.size) or resize(image, *rest, **named),
    )
    for size, square, pad in [((511, 511), 128, 128), ((512, 640), 64, 80), ((160, 512), 80, 64)]:
        data = encode(soft(*size), "JPEG")
        for crop, side in (("square", square), ("pad", pad)):
            seen.clear()
            decode_square(data, section(size=SIZE, crop=crop))
            shortest = min(seen[0]) if crop == "square" else max(seen[0])
            assert (shortest, crop) == (side, crop)


# --- EXIF ---


@pytest.mark.parametrize("crop", ["square", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options", "sizes", "tolerance"),
    [
        ("PNG", {}, [(64, 64), (75, 48), (48, 75), (37, 20)], 1),  # across or down rounds first
        ("WEBP", {"lossless": True}, [(75, 48)], 1),
        ("JPEG", {"quality": 95, "subsampling": 0}, [(331, 257), (257, 331)], 4),  # shrunk
    ],
    ids=["PNG", "WEBP", "JPEG"],
)
def test_exif_orientation_is_undone(kind, options, sizes, tolerance, orientation, crop):
    settings = section(size=SIZE, background=[90, 160, 120], crop=crop)
    for size in sizes:
        upright = soft(*size)
        expected = decode_square(encode(upright), settings).astype(int)
        array = decode_square(stored(upright, orientation, kind, **options), settings)
        assert np.abs(array - expected).max() <= tolerance


# --- the middle stays in the middle ---


@pytest.mark.parametrize("crop", ["square", "pad"])
@pytest.mark.parametrize(
    ("kind", "sizes", "tolerance"),
    [
        ("PNG", [(64, 47), (47, 64), (75, 48), (100, 99), (99, 100), (31, 20), (32, 33)], 1),
        ("JPEG", [(331, 256), (333, 208), (208, 333), (531, 413), (700, 690)], 6),
    ],
)
def test_a_mirrored_picture_gives_the_mirrored_avatar(kind, sizes, tolerance, crop):
    settings = section(size=SIZE, background=[30, 200, 90], crop=crop)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    for size in sizes:
        image = soft(*size, seed=4)
        array = decode_square(encode(image, kind, **options), settings).astype(int)
        for turn, axis in ((UNDONE[2], 1), (UNDONE[4], 0)):
            mirrored = decode_square(encode(image.transpose(turn), kind, **options), settings)
            assert np.abs(np.flip(mirrored, axis) - array).max() <= tolerance


# --- the whole picture ---


def cubic(distance):
    """Keys' kernel with a = -0.5, as in Pillow."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def weights(lines, start, length, size=SIZE):
    """(size,lines): what each line counts in a resize of [start, start + length]."""
    scale = max(1.0, length / size)
    centres = start + (np.arange(size) + 0.5) * length / size
    table = cubic((np.arange(lines) + 0.5 - centres[:, None]) / scale)
    return table / table.sum(axis=1, keepdims=True)


def padded(pixels, background, size=SIZE):
    """The whole picture laid on a square of the background, resized, in floating point."""
    height, width, _ = pixels.shape
    side = max(height, width)
    rows, columns = (side - height + 1) // 2, (side - width + 1) // 2
    ground = np.full((height + 2 * rows, width + 2 * columns, 3), background, float)
    ground[rows : rows + height, columns : columns + width] = pixels
    down = weights(len(ground), rows - (side - height) / 2, side, size)
    across = weights(ground.shape[1], columns - (side - width) / 2, side, size)
    return np.einsum("yi,ijc,xj->yxc", down, ground, across, optimize=True).clip(0, 255)


PAD = section(size=SIZE, background=[30, 200, 90], crop="pad")


@pytest.mark.parametrize(
    "size",
    [(64, 48), (41, 90), (64, 63), (101, 33), (13, 20), (32, 7), (96, 3)],
)
def test_pad_fits_the_whole_picture_into_the_square(size):
    noise = np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    array = decode_square(encode(Image.fromarray(noise)), PAD)
    assert array.flags.c_contiguous
    # each direction rounds, and clips what the filter overshoots
    difference = np.abs(array - padded(noise, PAD.background))
    assert difference.mean() < 1
    smooth = soft(*size)
    exact = padded(np.asarray(smooth), PAD.background)
    assert np.abs(decode_square(encode(smooth), PAD) - exact).max() <= 1.6


@pytest.mark.parametrize("size", [(1003, 517), (517, 1003), (514, 259), (700, 690)])
def test_pad_of_a_large_jpeg_is_that_of_the_full_picture(size):
    image = soft(*size)
    shrunk = decode_square(encode(image, "JPEG", quality=95, subsampling=0), PAD)
    whole = decode_square(encode(image), PAD)
    assert np.abs(shrunk.astype(int) - whole).max() <= 6
    for turn, axis in ((UNDONE[2], 1), (UNDONE[4], 0)):
        even = decode_square(encode(plain((200, 60, 60), size=size).transpose(turn), "JPEG"), PAD)
        # of 170 levels at the border: a shift of a line would show as four times as much
        assert np.abs(np.flip(even, axis).astype(int) - even).max() <= 8


def test_a_picture_too_long_for_its_borders_is_bad():
    longest = encode(plain((9, 9, 9), size=(SIZE * 2, 2)))
    assert decode_square(longest, PAD).shape == (SIZE, SIZE, 3)
    for size in ((60_000, 1), (1, 60_000), (SIZE * 2 + 1, 2)):
        with pytest.raises(BadImageError, match="32 pixels"):
            decode_square(encode(plain((9, 9, 9), size=size)), PAD)
