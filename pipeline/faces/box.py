"""Box of a face, as every detector gives it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A face: top left corner and sides in pixels of the full upright picture, and its score."""

    x: float
    y: float
    width: float
    height: float
    score: float = 1.0

    @property
    def area(self) -> float:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width:.0f}x{self.height:.0f} at {self.x:.0f},{self.y:.0f}"
