"""One picture of a user's folder: its header, and its pixels as pytorch-fid decodes them.

Pixels are those of Pillow's `Image.open(file).convert("RGB")`: the first frame, not turned by
EXIF, colour profiles not applied, alpha dropped (not laid over a colour).
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from gan.errors import GanError
from gan.tensor_cache import Images

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "AVIF")
EXTENSIONS = {name for name, kind in Image.registered_extensions().items() if kind in FORMATS}
MAX_PIXELS = 1 << 24
"""Of one picture: 4096 x 4096. More is a mistake, or a decompression bomb."""

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
"""Modes of more than 8 bits, which Pillow clips to 255 instead of scaling them."""


class Header(NamedTuple):
    """Facts about a file without decoding it; size is (height, width).

    conversions: how its pixels become RGB, such as `grey and read as RGB`.
    """

    sha256: bytes
    size: tuple[int, int]
    conversions: list[str]


def read_header(path: Path) -> Header:
    """Read a file and parse its header; GanError if it can't be used."""
    data = _read(path)
    with _open_picture(path, data) as image:
        width, height = image.size
        mode, bands = image.mode, image.getbands()
        alpha = "transparency" in image.info or bands[-1].upper() == "A"
    if mode in DEEP_MODES:
        raise GanError(f"{path}: samples of more than 8 bits ({mode}); save it with 8 bits each")
    conversions = {
        "grey and read as RGB": mode in ("1", "L", "LA", "La"),
        "with a palette and read as RGB": bands[0] == "P",
        "with transparency, which is dropped": alpha,
    }
    applied = [text for text, true in conversions.items() if true]
    return Header(hashlib.sha256(data).digest(), (height, width), applied)


def read_pixels(path: Path, sha256: bytes) -> Images:
    """Decode a file to (H, W, 3); GanError if it is damaged, or no longer has that sha256."""
    data = _read(path)
    if hashlib.sha256(data).digest() != sha256:
        raise GanError(f"{path}: changed while it was evaluated; run again when it is complete")
    with _open_picture(path, data) as image:
        image.load()
        image.info.pop("transparency", None)  # else convert warns; it does not change the pixels
        return np.asarray(image.convert("RGB"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GanError(f"{path}: cannot be read: {error.strerror}") from None


@contextmanager
def _open_picture(path: Path, data: bytes) -> Iterator[Image.Image]:
    """Open a picture, reading its header only; any error in the block becomes a GanError."""
    large = f"more than {MAX_PIXELS}; resize it or remove it"
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise GanError(f"{path}: {image.width}x{image.height} pixels, {large}")
            yield image
    except (GanError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise GanError(f"{path}: many pixels, {large}") from None
    except UnidentifiedImageError:
        raise GanError(
            f"{path}: not a picture in {', '.join(FORMATS)}, or damaged; save it anew or remove it"
        ) from None
    except Exception as error:
        # Pillow's plugins raise nearly anything on damaged files: struct.error, SyntaxError, ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GanError(f"{path}: damaged picture ({reason}); save it anew or remove it") from None
