"""One picture: bytes of a file to a square RGB array, the same for every format and mode.

Order of work: open (known formats only), refuse bombs, let libjpeg shrink to no less than twice
the size, load in full, put over the background, resize the centre square by LANCZOS over its whole
area (antialiased), turn as EXIF says. Pictures smaller than `size` are enlarged, not refused.
Colour profiles are not applied.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
FILTER = "pillow draft >= 2x, lanczos"

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImageError(Exception):
    """One picture that cannot be used, with the reason in one line; never fatal for a run."""


@dataclass(frozen=True)
class Geometry:
    """What a picture is made into: side in pixels, RGB under transparency, largest source."""

    size: int
    background: tuple[int, int, int]
    max_pixels: int


def decode(data: bytes, geometry: Geometry) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WEBP, GIF or BMP file to (size,size,3) uint8.

    Of an animation the first frame is taken. Raises BadImageError with the reason.
    """
    with _opened(data, geometry) as image:
        return _square(image, geometry)


def upright(data: bytes, geometry: Geometry) -> Image.Image:
    """The full picture in RGB over the background, turned as EXIF says, at its own size.

    Raises BadImageError with the reason.
    """
    with _opened(data, geometry) as image:
        image.load()
        turn = TURNS.get(_orientation(image))
        flat = _flatten(image, geometry.background)
        return flat if turn is None else flat.transpose(turn)


@contextmanager
def _opened(data: bytes, geometry: Geometry) -> Iterator[Image.Image]:
    """An opened picture; whatever goes wrong with it in the block is a BadImageError."""
    try:
        with _own_rules(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
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


@contextmanager
def _own_rules() -> Iterator[None]:
    """Lift Pillow's fixed limit, for which max_pixels stands in, and silence its warnings.

    A damaged side note, EXIF or a profile, does not make a picture bad.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _square(image: Image.Image, geometry: Geometry) -> NDArray[np.uint8]:
    width, height = image.size
    shrunk = image.draft(None, (2 * geometry.size, 2 * geometry.size))
    scale = shrunk[1][2] / width if shrunk else 1.0
    image.load()
    turn = TURNS.get(_orientation(image))
    flat = _flatten(image, geometry.background)
    resized = flat.resize(
        (geometry.size, geometry.size),
        Image.Resampling.LANCZOS,
        box=_centre(width, height, scale),
    )
    return np.asarray(resized if turn is None else resized.transpose(turn))


def _centre(width: int, height: int, scale: float) -> tuple[float, float, float, float]:
    """The centre square of the full picture, measured in the one that libjpeg made of it.

    That one may be a fraction of a pixel wider: a cut at whole pixels would shift the picture.
    The filter also sees what lies just outside, so that the rim is no sharper than the rest.
    """
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left * scale, top * scale, (left + side) * scale, (top + side) * scale)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1  # a picture with damaged EXIF is still a picture, as in every browser


def _flatten(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
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
