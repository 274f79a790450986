"""The picture formats that are read, and the kind of any file by its first bytes.

One list for scrape, preprocess and evaluate alike. Pillow reads all of them; it also tells them
apart, by content, whatever a file is called.
"""

import io
import re
import struct
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

FORMATS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "PPM": "ppm",
    "TGA": "tga",
}
"""The formats by Pillow's names, each with the file name extension that it is stored under.

TGA is tried last: it has no signature, so that Pillow takes for one what only looks like it.
"""

SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "bmp", "dib"),
        *("tif", "tiff", "avif", "avifs", "ppm", "pgm", "pbm", "pnm", "pfm"),
        *("tga", "icb", "vda", "vst"),
    )
)
"""Endings of file names in these formats, in lower case."""

HEAD = 512
"""Bytes from a file's start that are enough for `identify`."""

_SIGNATURES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("WEBP", rb"RIFF....WEBP"),
    ("GIF", rb"GIF8[79]a"),
    ("BMP", rb"BM....\0\0\0\0"),
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("AVIF", rb"....ftyp(?:avi[fs]|(?:mif1|msf1)(?=.{4,28}avi[fs]))"),
    ("PPM", rb"P[1-7Ff]\s+[-\d#W]"),
    ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
    ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("HEIC", rb"....ftyp(?:hei|hev|mif1|msf1)"),
    ("SVG", rb"(?i)\s*(?:<\?xml.*)?(?:<!--.*)?(?:<!doctype svg.*)?<svg[\s>]"),
    ("HTML", rb"(?i)\s*(?:<\?xml.*)?(?:<!--.*)?<(?:!doctype html|html|head|body|title|script)\b"),
    ("XML", rb"(?i)\s*<\?xml"),
    ("JSON", rb"\s*[\[{]\s*[\"\[{\d\]}]"),
    ("PSD", rb"8BPS"),
    ("ICO", rb"\0\0[\x01\x02]\0[^\0]\0"),
    ("QOI", rb"qoif"),
    ("DDS", rb"DDS "),
    ("OpenEXR", rb"\x76\x2f\x31\x01"),
    ("PDF", rb"%PDF-"),
    ("MP4 video", rb"....ftyp"),
    ("WebM video", rb"\x1a\x45\xdf\xa3"),
    ("AVI video", rb"RIFF....AVI "),
    ("Flash", rb"[FCZ]WS|FLV"),
    ("zip", rb"PK(?:\x03\x04|\x05\x06|\x07\x08)"),
    ("7z", rb"7z\xbc\xaf\x27\x1c"),
    ("RAR", rb"Rar!\x1a\x07"),
    ("gzip", rb"\x1f\x8b"),
    ("bzip2", rb"BZh[1-9]1AY&SY"),
    ("xz", rb"\xfd7zXZ\0"),
    ("Zstandard", rb"\x28\xb5\x2f\xfd"),
    ("parquet", rb"PAR1"),
    ("HDF5", rb"\x89HDF\r\n"),
    ("NumPy", rb"\x93NUMPY"),
)
_KINDS = [(kind, re.compile(pattern, re.DOTALL)) for kind, pattern in _SIGNATURES]
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def identify(head: bytes) -> str:
    """The kind of a file by its first HEAD bytes: one of FORMATS, or another word; else empty.

    An empty file is `empty`, one of readable characters only is `text`. No TGA is found: it has
    no signature.
    """
    if not head:
        return "empty"
    head = head[:HEAD].removeprefix(_BYTE_ORDER_MARK)
    for kind, pattern in _KINDS:
        if pattern.match(head):
            return kind
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not only a character that was cut off
            return ""
        text = head[: error.start].decode("utf-8")
    return "text" if all(sign.isprintable() or sign.isspace() for sign in text) else ""


def open_image(data: bytes) -> Image.Image:
    """Read the header of a picture in one of FORMATS; raises whatever Pillow raises.

    A PNG is opened without its side notes: Pillow calls one damaged whose notes unpack to a
    megabyte, which programs that paint, and generators of pictures, do write.
    """
    kind = identify(data[:HEAD])
    if kind and kind not in FORMATS:
        raise UnidentifiedImageError(kind)
    if kind == "PNG":
        data = _PNG + b"".join(_drop_notes(data))
    return Image.open(io.BytesIO(data), formats=tuple(FORMATS))


_PNG = b"\x89PNG\r\n\x1a\n"
_NOTES = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}
_TURN = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Keywords of the texts that may say which way is up."""
_LONGEST_TURN = 2**16


def _drop_notes(data: bytes) -> Iterator[bytes]:
    """The chunks of a PNG but texts and colour profiles; from a damaged chunk on all bytes."""
    at, end = len(_PNG), len(data)
    while at + 12 <= end:
        size = struct.unpack_from(">I", data, at)[0]
        after, name = at + 12 + size, data[at + 4 : at + 8]
        if after > end:
            break
        turns = size <= _LONGEST_TURN and data.startswith(_TURN, at + 8)
        if name not in _NOTES or turns:
            yield data[at:after]
        at = after
    yield data[at:]
