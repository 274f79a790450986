"""What a finder of faces is: a picture goes in, boxes in its own pixels come out."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

LONGEST_SIDE = 1000  # pixels that a detector gets to see: larger pages cost time, and find no more


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
    """A full upright RGB picture, and the boxes that a file notes for it."""

    image: Image.Image
    noted: tuple[Box, ...] = ()


class FaceFinder(Protocol):
    """Finds faces; equal pictures give equal boxes, in equal order."""

    def find(self, picture: Picture) -> list[Box]:
        """All faces of a picture, none if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """What a detector sees of a picture: no more than LONGEST_SIDE pixels a side."""

    image: Image.Image
    scale_x: float  # pixels of the picture for one of the view
    scale_y: float

    @staticmethod
    def of(image: Image.Image) -> "View":
        """A view of `image`, shrunk without aliasing if it must be; never enlarged."""
        width, height = image.size
        share = min(1.0, LONGEST_SIDE / max(width, height))
        if share == 1.0:
            return View(image, 1.0, 1.0)
        size = max(1, round(width * share)), max(1, round(height * share))
        small = image.resize(size, Image.Resampling.LANCZOS)
        return View(small, width / size[0], height / size[1])

    def box(self, x: float, y: float, width: float, height: float, score: float) -> Box:
        """A box of the view in pixels of the picture."""
        across, down = self.scale_x, self.scale_y
        return Box(x * across, y * down, width * across, height * down, score)
