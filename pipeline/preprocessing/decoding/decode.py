"""Decoding of one picture file to a square RGB array, the same for every format and mode.

Order: open (known formats only), refuse decompression bombs, let libjpeg shrink to no less than
twice the size, load, composite over the background, resize by Pillow's BICUBIC over the whole
area (antialiased), turn as EXIF says. Pictures smaller than `size` are enlarged, not refused.
Colour profiles are not applied.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.pictures.orientation import exif_turn

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
FILTER = "pillow draft >= 2x, bicubic antialiased"


class BadImageError(Exception):
    """A picture that cannot be used, with the reason in one line; never fatal for a run."""


@dataclass(frozen=True)
class Geometry:
    """Size and part of a picture that becomes an avatar."""

    size: int  # pixels of the avatar's side
    background: tuple[int, int, int]  # RGB under transparent pixels, and of borders
    max_pixels: int  # a larger source picture is refused
    crop: str = "square"  # the centre; "pad": the whole with borders

    def side(self, size: tuple[int, int]) -> int:
        """Pixels that the avatar's side spans in a picture of (width, height)."""
        return max(size) if self.crop == "pad" else min(size)


def decode_square(data: bytes, geometry: Geometry) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WEBP, GIF or BMP file to (size,size,3) uint8.

    Of an animation the first frame is taken. Raises BadImageError with the reason.
    """
    with open_picture(data, geometry) as image:
        return load_square(image, geometry)


def decode_full(data: bytes, geometry: Geometry) -> Image.Image:
    """Decode the full picture to RGB over the background, turned as EXIF says, at its own size.

    Raises BadImageError with the reason.
    """
    with open_picture(data, geometry) as image:
        return load_full(image, geometry)


@contextmanager
def open_picture(data: bytes, geometry: Geometry) -> Iterator[Image.Image]:
    """Read a picture's header and yield it for one `load_square` or `load_full`.

    Whatever goes wrong in the block is a BadImageError. Pillow's fixed limit is lifted, since
    max_pixels stands in for it, and its warnings are silenced: damaged EXIF or a damaged profile
    does not make a picture bad. Both are settings of the process: not for threads.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=FORMATS) as image,
        ):
            width, height = image.size
            if width * height > geometry.max_pixels:
                raise BadImageError(f"{width}x{height} is more than {geometry.max_pixels} pixels")
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


def load_full(image: Image.Image, geometry: Geometry) -> Image.Image:
    """Load an opened picture in RGB over the background, upright, at its own size."""
    image.load()
    turn = exif_turn(image)
    flat = _flatten(image, geometry.background)
    return flat if turn is None else flat.transpose(turn)


def load_square(image: Image.Image, geometry: Geometry) -> NDArray[np.uint8]:
    """Load an opened picture as (size,size,3) uint8, its centre or the whole of it.

    The middle of the picture, to fractions of a pixel, is the middle of the square, whether its
    sides, their difference or the sizes after libjpeg's shrinking are odd or even.
    """
    width, height = image.size
    scale = _draft(image, geometry)
    image.load()
    turn = exif_turn(image)
    flat = _flatten(image, geometry.background)
    square = fit(flat, (width * scale, height * scale), geometry)
    return np.asarray(square if turn is None else square.transpose(turn))


def fit(flat: Image.Image, area: tuple[float, float], geometry: Geometry) -> Image.Image:
    """Resize an RGB picture to (size, size), its centre or the whole of it.

    `area` is the picture's width and height, a fraction under those of `flat` where libjpeg
    shrank it.
    """
    whole = geometry.crop == "pad" and area[0] != area[1]
    return _fit_whole(flat, area, geometry) if whole else _fit_centre(flat, area, geometry)


def draft_step(size: tuple[int, int], geometry: Geometry) -> int:
    """The factor by which libjpeg may shrink a JPEG of (width, height) while it decodes it."""
    step = geometry.side(size) // (2 * geometry.size)
    if geometry.crop == "pad" and size[0] != size[1]:
        step = min(step, abs(size[0] - size[1]) // 4)  # a border is no narrower than two lines
    return step


def _draft(image: Image.Image, geometry: Geometry) -> float:
    """Let libjpeg shrink a large JPEG; returns the scale, 1 for other pictures."""
    width, height = image.size
    step = draft_step(image.size, geometry)
    if step < 2 or image.format not in ("JPEG", "MPO"):
        return 1.0
    shrunk = image.draft(None, (max(1, width // step), max(1, height // step)))
    return shrunk[1][2] / width if shrunk else 1.0


def _fit_centre(flat: Image.Image, area: tuple[float, float], geometry: Geometry) -> Image.Image:
    """The centre square.

    The filter also reads pixels just outside, so that the rim is no sharper than the rest.
    """
    side = min(area)
    left, top = (area[0] - side) / 2, (area[1] - side) / 2
    box = (left, top, left + side, top + side)
    return flat.resize((geometry.size, geometry.size), Image.Resampling.BICUBIC, box=box)


def _fit_whole(flat: Image.Image, area: tuple[float, float], geometry: Geometry) -> Image.Image:
    """The whole picture, its longer side as long as the square's, on the background.

    Equal to a resize of a square of the background with the picture in its middle: where a border
    begins within a pixel of the result, the pixel is mixed. Each direction is resized in turn, as
    in Pillow itself, so that only a strip of that square is ever in memory.
    """
    size = geometry.size
    wide = area[0] >= area[1]
    long, short = max(area), min(area)
    if short * size < long:
        raise BadImageError(
            f"{long / short:.0f} times as long as wide, too much for {size} pixels"
        )
    if wide:
        lines = flat.resize(
            (size, flat.height), Image.Resampling.BICUBIC, (0, 0, long, flat.height)
        )
        return _add_borders(lines, long, short, geometry)
    columns = flat.resize((flat.width, size), Image.Resampling.BICUBIC, (0, 0, flat.width, long))
    lines = columns.transpose(Image.Transpose.TRANSPOSE)
    return _add_borders(lines, long, short, geometry).transpose(Image.Transpose.TRANSPOSE)


def _add_borders(lines: Image.Image, long: float, short: float, geometry: Geometry) -> Image.Image:
    """Resize lines that are `size` wide already, `short` of them, in the middle of `long`."""
    size = geometry.size
    border = (long - short) / 2
    above = math.ceil(border)
    canvas = Image.new("RGB", (size, math.ceil(above + short + border)), geometry.background)
    canvas.paste(lines, (0, above))
    if short < lines.height:
        _mix_last(canvas, above + lines.height - 1, short - lines.height + 1, geometry)
    box = (0, above - border, size, above - border + long)
    return canvas.resize((size, size), Image.Resampling.BICUBIC, box)


def _mix_last(canvas: Image.Image, line: int, part: float, geometry: Geometry) -> None:
    """Mix the last line of a picture that libjpeg shrunk: only `part` of it is the picture."""
    place = (0, line, geometry.size, line + 1)
    ground = Image.new("RGB", (geometry.size, 1), geometry.background)
    canvas.paste(Image.blend(ground, canvas.crop(place), part), place)


def _flatten(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
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
