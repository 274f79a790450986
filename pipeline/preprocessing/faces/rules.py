"""Rules for face boxes: too small, misshapen and overlapping ones are rejected, with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.preprocessing.faces.box import Box

OUTSIDE = 0.25  # share of a box's area beyond the picture, at most
ELONGATION = 2.0  # longer to shorter side of a face, at most
OVERLAP = 0.5  # share of the smaller of two boxes; with more, both are of one face

UNREADABLE = "unreadable"
NO_FACE = "no face"
NOT_LISTED = "not in the file of boxes"
OUTSIDE_PICTURE = "box leaves the picture"
ABSURD_SHAPE = "box too long or too flat"
TOO_SMALL = "face too small"
TOO_SMALL_A_SHARE = "face too small for its picture"
TOO_FAINT = "score too low"
SAME_FACE = "face found twice"
TOO_MANY = "more faces than allowed"


@dataclass(frozen=True, slots=True)
class Reject:
    """A rejected picture (box None) or box: reason, by which rejects are counted, and details."""

    reason: str
    detail: str = ""
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class FaceRules:
    """Limits on the boxes of a picture."""

    min_score: float
    min_side: int  # pixels of the box's shorter side
    min_share: float  # that side over the picture's shorter side
    max_faces: int


def choose_boxes(
    boxes: Sequence[Box], size: tuple[int, int], rules: FaceRules
) -> tuple[list[Box], list[Reject]]:
    """Boxes to keep of a picture of `size` (width, height), best first, and rejects of the others.

    Of equal scores the larger box is the better one. Every box is in one of both lists.
    """
    kept: list[Box] = []
    rejects: list[Reject] = []
    for box in sorted(boxes, key=_best_first):
        fault = _check_box(box, size, rules) or _check_overlap(box, kept, rules)
        if fault is None:
            kept.append(box)
        else:
            reason, detail = fault
            rejects.append(Reject(reason, f"{_place(box)}: {detail}", box))
    return kept, rejects


def _best_first(box: Box) -> tuple[float, ...]:
    return (-box.score, -box.width * box.height, box.y, box.x)


def _check_box(box: Box, size: tuple[int, int], rules: FaceRules) -> tuple[str, str] | None:
    """Reason and details against a box by itself, or None."""
    short, long = sorted((box.width, box.height))
    whole = Box(0, 0, *size)
    share = short / min(size)
    if _intersection(box, whole) < (1 - OUTSIDE) * box.width * box.height:
        return OUTSIDE_PICTURE, f"the picture is {size[0]}x{size[1]}"
    if long > ELONGATION * short:
        return ABSURD_SHAPE, f"one side is {long / short:.1f} times the other"
    if short < rules.min_side:
        return TOO_SMALL, f"under {rules.min_side} pixels"
    if share < rules.min_share:
        return TOO_SMALL_A_SHARE, f"{share:.3f} of its short side, under {rules.min_share:g}"
    if box.score < rules.min_score:
        return TOO_FAINT, f"score {box.score:.3g}, under {rules.min_score:g}"
    return None


def _check_overlap(box: Box, better: Sequence[Box], rules: FaceRules) -> tuple[str, str] | None:
    """Reason and details against a box beside the better ones of its picture, or None."""
    for other in better:
        smaller = min(box.width * box.height, other.width * other.height)
        if _intersection(box, other) > OVERLAP * smaller:
            return SAME_FACE, f"lies on {_place(other)}"
    if len(better) >= rules.max_faces:
        return TOO_MANY, f"{rules.max_faces} better ones are kept"
    return None


def _intersection(one: Box, other: Box) -> float:
    """Area of the intersection."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(0.0, width) * max(0.0, height)


def _place(box: Box) -> str:
    return f"{box.width:.0f}x{box.height:.0f} at {box.x:.0f},{box.y:.0f}"
