"""Pictures of known content, as images and as files."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from pipeline.preprocessing.decoding.decode import load_square, open_picture

WHITE = (255, 255, 255)


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


UNDONE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def soft(width, height, seed=0):
    """Random smooth colours, with room for what the filter overshoots."""
    small = np.random.default_rng(seed).integers(50, 206, (7, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def stored(upright, orientation, kind, **options):
    """A file that shows `upright` when it is turned as its EXIF says."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = upright if orientation == 1 else upright.transpose(UNDONE[orientation])
    return encode(turned, kind, exif=exif, **options)


def decode_square(data, settings):
    """The avatar of a file by Pillow alone."""
    with open_picture(data, settings) as image:
        return load_square(image, settings)


def png_of(width, height, bits=8, colour_type=2, **chunks):
    """A PNG by its chunks, which need not be there: Pillow itself can't write all kinds."""

    def chunk(name, body):
        check = struct.pack(">I", zlib.crc32(name.encode() + body))
        return struct.pack(">I", len(body)) + name.encode() + body + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [
        chunk(name, body) for name, body in {"IHDR": header, **(chunks or {"IDAT": b""})}.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
