"""Interface of face detectors: a picture in, boxes in its pixels out."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

LONGEST_SIDE = 1000  # pixels of a detector's input: larger ones cost time and find no more faces


@dataclass(frozen=True, slots=True)
class Box:
    """A face: top left corner and sides in pixels of the full upright picture, and its score."""

    x: float
    y: float
    width: float
    height: float
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A full upright RGB picture, and the boxes that a box file lists for it."""

    image: Image.Image
    listed: tuple[Box, ...] = ()


class FaceFinder(Protocol):
    """A face detector; equal pictures give equal boxes, in equal order."""

    def find(self, picture: Picture) -> list[Box]:
        """All faces of a picture, none if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorImage:
    """A picture as the input of a detector, shrunk to LONGEST_SIDE pixels a side at most."""

    image: Image.Image
    scale_x: float  # pixels of the picture for one of this image
    scale_y: float

    @staticmethod
    def of(image: Image.Image) -> "DetectorImage":
        """Shrink `image`, antialiased, if it is too large; never enlarged."""
        width, height = image.size
        share = min(1.0, LONGEST_SIDE / max(width, height))
        if share == 1.0:
            return DetectorImage(image, 1.0, 1.0)
        size = max(1, round(width * share)), max(1, round(height * share))
        small = image.resize(size, Image.Resampling.LANCZOS)
        return DetectorImage(small, width / size[0], height / size[1])

    def box(self, x: float, y: float, width: float, height: float, score: float) -> Box:
        """A box in pixels of this image as a box in pixels of the picture."""
        across, down = self.scale_x, self.scale_y
        return Box(x * across, y * down, width * across, height * down, score)
