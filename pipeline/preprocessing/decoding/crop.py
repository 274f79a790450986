"""The square around a face, cut from the full picture at fractions of a pixel."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.preprocessing.faces.box import Box

FILTER = "pillow reduce >= 4x, bicubic antialiased, edge repeated"
REACH = 2  # pixels of the result that BICUBIC reads on either side
LARGE = 4  # times the result: larger squares are reduced before BICUBIC, which bounds memory


@dataclass(frozen=True, slots=True)
class Frame:
    """How a square lies around a box: its side over the longer side, its middle in the height."""

    margin: float
    centre: float

    def side(self, box: Box) -> float:
        """Side of the square in pixels of the picture."""
        return self.margin * max(box.width, box.height)

    def around(self, box: Box) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the square; it may leave the picture."""
        half = self.side(box) / 2
        x, y = box.x + box.width / 2, box.y + self.centre * box.height
        return (x - half, y - half, x + half, y + half)


def cut_square(
    image: Image.Image, square: tuple[float, float, float, float], size: int
) -> NDArray[np.uint8]:
    """Cut a square out of an RGB picture as (size,size,3) uint8.

    Beyond the picture its edge is repeated. The filter also reads pixels just outside the square,
    so that the rim is no sharper than the rest.
    """
    factor = max(1, int((square[2] - square[0]) / (LARGE * size)))
    small = image.reduce(factor) if factor > 1 else image
    left, top, right, bottom = (place / factor for place in square)
    reach = math.ceil(REACH * max(1.0, (right - left) / size)) + 1
    near = (
        math.floor(left) - reach,
        math.floor(top) - reach,
        math.ceil(right) + reach,
        math.ceil(bottom) + reach,
    )
    region = Image.fromarray(_crop_repeating_edge(small, near))
    box = (left - near[0], top - near[1], right - near[0], bottom - near[1])
    return np.asarray(region.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _crop_repeating_edge(
    image: Image.Image, bounds: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """The pixels within whole bounds; beyond the picture, those of its edge."""
    left, top, right, bottom = bounds
    width, height = image.size
    columns = np.arange(left, right).clip(0, width - 1)
    rows = np.arange(top, bottom).clip(0, height - 1)
    inner = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    pixels = np.asarray(image.crop(inner))
    return pixels[np.ix_(rows - rows[0], columns - columns[0])]
