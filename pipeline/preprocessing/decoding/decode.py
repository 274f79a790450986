"""Decoding of one picture file to a square RGB array, the same for every format and mode.

Order: open (known formats only), refuse decompression bombs, let libjpeg shrink to no less than
twice the size, load, composite over the background, resize by Pillow's BICUBIC over the whole
area (antialiased), turn as EXIF says. Pictures smaller than `size` are enlarged, not refused.
Colour profiles are not applied. The most common files, small plain JPEGs, go past Pillow's reading
of headers in Python, which takes as long as decoding; their pixels are the same.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gan.params.data import PreprocessParams
from pipeline.pictures.formats import FORMATS, open_image
from pipeline.pictures.orientation import exif_turn

FILTER = "pillow draft >= 2x, bicubic antialiased"
PLAIN = ("YCbCr", "Gray")  # CMYK and others are left to Pillow
JPEG_START = b"\xff\xd8\xff"
TURNED = (b"Exif\0\0", b"tiff:Orientation")  # marks of files that may have an orientation


class BadImageError(Exception):
    """A picture that cannot be used, with the reason in one line; never fatal for a run."""


def square_side(size: tuple[int, int], settings: PreprocessParams) -> int:
    """Pixels that the avatar's side spans in a picture of (width, height)."""
    return max(size) if settings.crop == "pad" else min(size)


def load_plain_jpeg(data: bytes, settings: PreprocessParams) -> Image.Image | None:
    """Decode a small JPEG, upright, YCbCr or grey, undamaged; None if it is another file."""
    if not data.startswith(JPEG_START) or any(mark in data for mark in TURNED):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        large = width * height > settings.max_pixels or _draft_step((width, height), settings) > 1
        if large or colours not in PLAIN:
            return None
        return Image.fromarray(simplejpeg.decode_jpeg(data))
    except ValueError:
        return None  # damage, which Pillow may tolerate


@contextmanager
def open_picture(data: bytes, settings: PreprocessParams) -> Iterator[Image.Image]:
    """Read a picture's header and yield it for one `load_square` or `load_full`.

    Whatever goes wrong in the block is a BadImageError. Pillow's fixed limit is lifted, since
    max_pixels stands in for it, and its warnings are silenced: damaged EXIF or a damaged profile
    does not make a picture bad. Both are settings of the process: not for threads.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            open_image(data) as image,
        ):
            width, height = image.size
            if width * height > settings.max_pixels:
                raise BadImageError(f"{width}x{height} is more than {settings.max_pixels} pixels")
            yield image
    except (BadImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImageError(f"not a picture in {', '.join(FORMATS)}") from None
    except Exception as error:
        # Pillow's plugins raise nearly anything on damaged files: struct.error, SyntaxError, ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadImageError(reason) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def load_full(image: Image.Image, settings: PreprocessParams) -> Image.Image:
    """Load an opened picture in RGB over the background, upright, at its own size."""
    image.load()
    turn = exif_turn(image)
    flat = _flatten(image, settings.background)
    return flat if turn is None else flat.transpose(turn)


def load_square(image: Image.Image, settings: PreprocessParams) -> NDArray[np.uint8]:
    """Load an opened picture as (size,size,3) uint8, its centre or the whole of it.

    The middle of the picture, to fractions of a pixel, is the middle of the square, whether its
    sides, their difference or the sizes after libjpeg's shrinking are odd or even.
    """
    width, height = image.size
    scale = _draft(image, settings)
    image.load()
    turn = exif_turn(image)
    flat = _flatten(image, settings.background)
    square = fit_square(flat, (width * scale, height * scale), settings)
    return np.asarray(square if turn is None else square.transpose(turn))


def fit_square(
    flat: Image.Image, area: tuple[float, float], settings: PreprocessParams
) -> Image.Image:
    """Resize an RGB picture to (size, size), its centre or the whole of it.

    `area` is the picture's width and height, a fraction under those of `flat` where libjpeg
    shrank it.
    """
    if settings.crop == "pad" and area[0] != area[1]:
        return _fit_whole(flat, area, settings)
    # the filter also reads pixels just outside, so that the rim is no sharper than the rest
    side = min(area)
    left, top = (area[0] - side) / 2, (area[1] - side) / 2
    box = (left, top, left + side, top + side)
    return flat.resize((settings.size, settings.size), Image.Resampling.BICUBIC, box)


def _draft_step(size: tuple[int, int], settings: PreprocessParams) -> int:
    """The factor by which libjpeg may shrink a JPEG of (width, height) while it decodes it."""
    step = square_side(size, settings) // (2 * settings.size)
    if settings.crop == "pad" and size[0] != size[1]:
        step = min(step, abs(size[0] - size[1]) // 4)  # a border is no narrower than two lines
    return step


def _draft(image: Image.Image, settings: PreprocessParams) -> float:
    """Let libjpeg shrink a large JPEG; returns the scale, 1 for other pictures."""
    width, height = image.size
    step = _draft_step(image.size, settings)
    if step < 2 or image.format not in ("JPEG", "MPO"):
        return 1.0
    shrunk = image.draft(None, (max(1, width // step), max(1, height // step)))
    return shrunk[1][2] / width if shrunk else 1.0


def _fit_whole(
    flat: Image.Image, area: tuple[float, float], settings: PreprocessParams
) -> Image.Image:
    """The whole picture, its longer side as long as the square's, on the background.

    Equal to a resize of a square of the background with the picture in its middle: where a border
    begins within a pixel of the result, the pixel is mixed. Each direction is resized in turn, as
    in Pillow itself, so that only a strip of that square is ever in memory.
    """
    size = settings.size
    long, short = max(area), min(area)
    if short * size < long:
        raise BadImageError(
            f"{long / short:.0f} times as long as wide, too much for {size} pixels"
        )
    if area[0] < area[1]:
        turn = Image.Transpose.TRANSPOSE
        return _fit_whole(flat.transpose(turn), area[::-1], settings).transpose(turn)
    box = (0, 0, long, flat.height)
    lines = flat.resize((size, flat.height), Image.Resampling.BICUBIC, box)
    return _add_borders(lines, long, short, settings)


def _add_borders(
    lines: Image.Image, long: float, short: float, settings: PreprocessParams
) -> Image.Image:
    """Resize lines that are `size` wide already, `short` of them, in the middle of `long`."""
    size, ground = settings.size, tuple(settings.background)
    border = (long - short) / 2
    above = math.ceil(border)
    canvas = Image.new("RGB", (size, math.ceil(above + short + border)), ground)
    canvas.paste(lines, (0, above))
    if short < lines.height:  # shrunk by libjpeg: only a part of the last line is the picture
        last = (0, above + lines.height - 1, size, above + lines.height)
        part = short - lines.height + 1
        canvas.paste(
            Image.blend(Image.new("RGB", (size, 1), ground), canvas.crop(last), part), last
        )
    box = (0, above - border, size, above - border + long)
    return canvas.resize((size, size), Image.Resampling.BICUBIC, box)


def _flatten(image: Image.Image, background: Sequence[int]) -> Image.Image:
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    under = Image.new("RGBA", layer.size, (*background, 255))
    return Image.alpha_composite(under, layer).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey by its high byte, as Pillow does with 16-bit colour; convert() would clip."""
    levels = np.asarray(image).astype(np.int64)
    grey = Image.fromarray((levels >> 8).clip(0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8)))
    return grey
