"""The quick way for what most crops are: a small JPEG, upright, of plain colours, undamaged.

libjpeg-turbo by simplejpeg, without Pillow's reading of headers in Python, which takes as long as
decoding. The same pixels as by `pipeline.preprocessing.decoding.decode`, where all else goes.
"""

from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from pipeline.preprocessing.decoding.decode import Geometry, draft_step, fit

PLAIN = ("YCbCr", "Gray")  # CMYK and the like are Pillow's business
START = b"\xff\xd8\xff"
TURNED = (b"Exif\0\0", b"tiff:Orientation")  # where a file may say that it is to be turned


@dataclass(frozen=True, slots=True)
class PlainJpeg:
    """A JPEG whose header alone is read yet; size as (width, height)."""

    data: bytes
    size: tuple[int, int]

    @staticmethod
    def of(data: bytes, geometry: Geometry) -> "PlainJpeg | None":
        """The file, or None if it is another kind, or too large for this way."""
        if not data.startswith(START) or any(mark in data for mark in TURNED):
            return None
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            return None
        large = width * height > geometry.max_pixels or draft_step((width, height), geometry) > 1
        return None if large or colours not in PLAIN else PlainJpeg(data, (width, height))

    def square(self, geometry: Geometry) -> NDArray[np.uint8] | None:
        """As `decode.square`; None if the file has any damage, which Pillow is to judge.

        Raises BadImageError if the picture is too long for the borders.
        """
        try:
            pixels = simplejpeg.decode_jpeg(self.data)
        except ValueError:
            return None
        return np.asarray(fit(Image.fromarray(pixels), self.size, geometry))
