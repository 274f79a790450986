"""Proportions of the head: places of its features as it turns and nods, outline of the face.

Head units: the origin is between the eyes' height and the brows, the chin is at y = 39, the skull
is 66 wide; hair reaches from about -42 to 42.
"""

from dataclasses import dataclass

from pipeline.gallery.curves import Path, Point, smooth
from pipeline.gallery.design import Design

EYE_LEVEL = 8.0
NECK = 40.0
_HALF_FACE: tuple[Point, ...] = (
    (20, -41),
    (31, -26),
    (33.5, -6),
    (32.6, 9),
    (28.6, 21),
    (18.5, 32.2),
    (6.5, 38.6),
)


@dataclass(frozen=True)
class Head:
    """The head of one design."""

    design: Design

    @property
    def turn(self) -> float:
        return self.design.pose.turn

    def on_face(self, x: float, y: float) -> Point:
        """Where a point of the front view lands on the turned, nodding face."""
        return (x * (1 - 0.07 * abs(self.turn)) + self.turn * 5, y + self.design.pose.nod * 2)

    def eye(self, side: int) -> Point:
        """Centre of the eye on a side of the picture (-1 left, 1 right)."""
        return self.on_face(side * self.design.eye_form.apart, EYE_LEVEL)

    def eye_scale(self, side: int) -> float:
        """The eye on the far side of a turned head is narrower."""
        return 1 - 0.14 * max(0.0, self.turn * side)

    def _cheek(self, x: float, y: float) -> Point:
        depth = max(0.0, y + 10) / 50
        wide = 1 + (0.03 - 0.15 * self.design.jaw) * max(0.0, y / 39)
        far = 1 - 0.05 * max(0.0, self.turn * (1 if x > 0 else -1)) * depth
        return (x * wide * far + self.turn * 4.2 * depth, y + self.design.pose.nod * 1.2 * depth)

    def outline(self) -> Path:
        """The face from the top of the skull round to the chin and back."""
        chin = self._cheek(0, 39.4)
        right = [self._cheek(x, y) for x, y in _HALF_FACE]
        left = [self._cheek(-x, y) for x, y in reversed(_HALF_FACE)]
        return smooth([(0, -46), *right, chin, *left], closed=True, steps=5)
