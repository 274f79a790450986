"""Rules for face boxes: too small, misshapen and overlapping ones are rejected, with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from gan.params.data import FacesParams
from pipeline.faces.box import Box

OUTSIDE = 0.25  # share of a box's area beyond the picture, at most
ELONGATION = 2.0  # longer to shorter side of a face, at most
OVERLAP = 0.5  # share of the smaller of two boxes; with more, both are of one face

UNREADABLE = "unreadable"
NO_FACE = "no face"
NOT_LISTED = "not in the file of boxes"


@dataclass(frozen=True, slots=True)
class Reject:
    """A rejected picture (box None) or box: reason, by which rejects are counted, and details."""

    reason: str
    detail: str = ""
    box: Box | None = None


def choose_boxes(
    boxes: Sequence[Box], size: tuple[int, int], limits: FacesParams
) -> tuple[list[Box], list[Reject]]:
    """Boxes to keep of a picture of `size` (width, height), best first, and rejects of the others.

    Of equal scores the larger box is the better one. Every box is in one of both lists.
    """
    kept: list[Box] = []
    rejects: list[Reject] = []
    for box in sorted(boxes, key=lambda box: (-box.score, -box.area, box.y, box.x)):
        fault = _check_box(box, size, limits) or _check_overlap(box, kept, limits)
        if fault is None:
            kept.append(box)
        else:
            reason, detail = fault
            rejects.append(Reject(reason, f"{box}: {detail}", box))
    return kept, rejects


def _check_box(box: Box, size: tuple[int, int], limits: FacesParams) -> tuple[str, str] | None:
    """Reason and details against a box by itself, or None."""
    short, long = sorted((box.width, box.height))
    share = short / min(size)
    if _intersect(box, Box(0, 0, *size)) < (1 - OUTSIDE) * box.area:
        return "box leaves the picture", f"the picture is {size[0]}x{size[1]}"
    if long > ELONGATION * short:
        return "box too long or too flat", f"one side is {long / short:.1f} times the other"
    if short < limits.min_side:
        return "face too small", f"under {limits.min_side} pixels"
    if share < limits.min_share:
        return (
            "face too small for its picture",
            f"{share:.3f} of its short side, under {limits.min_share:g}",
        )
    if box.score < limits.min_score:
        return "score too low", f"score {box.score:.3g}, under {limits.min_score:g}"
    return None


def _check_overlap(box: Box, better: Sequence[Box], limits: FacesParams) -> tuple[str, str] | None:
    """Reason and details against a box beside the better ones of its picture, or None."""
    for other in better:
        if _intersect(box, other) > OVERLAP * min(box.area, other.area):
            return "face found twice", f"lies on {other}"
    if len(better) >= limits.max_faces:
        return "more faces than allowed", f"{limits.max_faces} better ones are kept"
    return None


def _intersect(one: Box, other: Box) -> float:
    """Area of the intersection."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(0.0, width) * max(0.0, height)
