"""Fast decoding of the most common files: small JPEGs, upright, YCbCr or grey, undamaged.

libjpeg-turbo by simplejpeg, without Pillow's reading of headers in Python, which takes as long as
decoding. Gives the same pixels as `pipeline.preprocessing.decoding.decode`, which takes all other
files.
"""

from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from pipeline.preprocessing.decoding.decode import Geometry, draft_step, fit

PLAIN = ("YCbCr", "Gray")  # CMYK and others are left to Pillow
START = b"\xff\xd8\xff"
TURNED = (b"Exif\0\0", b"tiff:Orientation")  # marks of files that may have an orientation


@dataclass(frozen=True, slots=True)
class PlainJpeg:
    """A JPEG of which only the header has been read; size as (width, height)."""

    data: bytes
    size: tuple[int, int]

    @staticmethod
    def open(data: bytes, geometry: Geometry) -> "PlainJpeg | None":
        """Read the header; None if it is another kind of file, or too large."""
        if not data.startswith(START) or any(mark in data for mark in TURNED):
            return None
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            return None
        large = width * height > geometry.max_pixels or draft_step((width, height), geometry) > 1
        return None if large or colours not in PLAIN else PlainJpeg(data, (width, height))

    def load_square(self, geometry: Geometry) -> NDArray[np.uint8] | None:
        """As `decode.load_square`; None if the file has any damage, which Pillow may tolerate.

        Raises BadImageError if the picture is too long for the borders.
        """
        try:
            pixels = simplejpeg.decode_jpeg(self.data)
        except ValueError:
            return None
        return np.asarray(fit(Image.fromarray(pixels), self.size, geometry))
