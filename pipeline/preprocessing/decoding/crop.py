"""The square around a face, cut from the full picture at fractions of a pixel."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan.params.data import FacesParams
from pipeline.faces.box import Box

FILTER = "pillow reduce >= 4x, bicubic antialiased, edge repeated"
REACH = 2  # pixels of the result that BICUBIC reads on either side
LARGE = 4  # times the result: larger squares are reduced before BICUBIC, which bounds memory

Square = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the picture; it may leave the picture."""


def frame_face(box: Box, settings: FacesParams) -> Square:
    """The square around a box: side over the box's longer side, and its middle in the height."""
    half = settings.margin * max(box.width, box.height) / 2
    x, y = box.x + box.width / 2, box.y + settings.centre * box.height
    return (x - half, y - half, x + half, y + half)


def cut_square(image: Image.Image, square: Square, size: int) -> NDArray[np.uint8]:
    """Cut a square out of an RGB picture as (size,size,3) uint8.

    Beyond the picture its edge is repeated. The filter also reads pixels just outside the square,
    so that the rim is no sharper than the rest.
    """
    factor = max(1, int((square[2] - square[0]) / (LARGE * size)))
    small = image.reduce(factor) if factor > 1 else image
    left, top, right, bottom = (place / factor for place in square)
    reach = math.ceil(REACH * max(1.0, (right - left) / size)) + 1
    columns = np.arange(math.floor(left) - reach, math.ceil(right) + reach)
    rows = np.arange(math.floor(top) - reach, math.ceil(bottom) + reach)
    region = Image.fromarray(_crop_repeating_edge(small, columns, rows))
    box = (left - columns[0], top - rows[0], right - columns[0], bottom - rows[0])
    return np.asarray(region.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _crop_repeating_edge(
    image: Image.Image, columns: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The pixels of neighbouring columns and rows; beyond the picture, those of its edge."""
    columns = columns.clip(0, image.width - 1)
    rows = rows.clip(0, image.height - 1)
    inner = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    pixels = np.asarray(image.crop(inner))
    return pixels[np.ix_(rows - rows[0], columns - columns[0])]
