"""Which pictures and avatars are left out for their size, their shape or their looks."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.preprocessing.faces.rules import Reject

SMALL_PICTURE = "picture too small"
LONG_PICTURE = "picture too long or too flat"
FLAT = "nearly one tone"
ONE_COLOUR = "nearly one colour"
BLURRED = "blurred"
GREY = "grey"

LOOKS = (FLAT, ONE_COLOUR, BLURRED, GREY)
"""Reasons against an avatar, in the order in which they are asked."""
_FIELDS = ("contrast", "one_colour", "sharpness", "colour")
_NAMES = ("contrast", "one colour", "sharpness", "colour")


@dataclass(frozen=True, slots=True)
class FilterRules:
    """What a picture (first two) and its avatar must be; as it stands here all pass."""

    min_side: int = 0
    max_aspect: float = math.inf
    min_contrast: float = 0.0
    max_one_colour: float = 1.0
    min_sharpness: float = 0.0
    min_colour: float = 0.0

    @property
    def looks(self) -> bool:
        """Whether any limit on the avatar's looks is on."""
        floors = (self.min_contrast, self.min_sharpness, self.min_colour)
        return any(floor > 0 for floor in floors) or self.max_one_colour < 1


NO_LIMITS = FilterRules()


def picture_fault(size: tuple[int, int], rules: FilterRules) -> Reject | None:
    """What is wrong with a picture of (width, height) pixels, or None."""
    short, long = min(size), max(size)
    shape = f"{size[0]}x{size[1]}"
    if short < rules.min_side:
        return Reject(SMALL_PICTURE, f"{shape}, a side under {rules.min_side} pixels")
    if long > rules.max_aspect * short:
        ratio = _unlike(long / short, rules.max_aspect)
        return Reject(LONG_PICTURE, f"{shape}, {ratio} to 1, over {rules.max_aspect:g}")
    return None


def faults(measures: NDArray[Any], rules: FilterRules) -> NDArray[np.int8]:
    """For (n,) of MEASURES: 0 if all is well, else 1 + index into LOOKS of the first fault.

    What has not been measured (NaN) passes.
    """
    found = np.zeros(len(measures), np.int8)
    for which, (field, limit, above) in reversed(list(enumerate(_limits(rules)))):
        values = measures[field]
        found[values > limit if above else values < limit] = which + 1
    return found


def detail(measured: np.void, which: int, rules: FilterRules) -> str:
    """The particulars of fault `which` (index into LOOKS): "sharpness 12.3, under 20"."""
    field, limit, above = _limits(rules)[which]
    side = "over" if above else "under"
    return f"{_NAMES[which]} {_unlike(float(measured[field]), limit)}, {side} {limit:g}"


def _limits(rules: FilterRules) -> list[tuple[str, float, bool]]:
    """In the order of LOOKS: field of MEASURES, limit, and whether more than that is the fault."""
    limits = (rules.min_contrast, rules.max_one_colour, rules.min_sharpness, rules.min_colour)
    return [
        (field, limit, field == "one_colour") for field, limit in zip(_FIELDS, limits, strict=True)
    ]


def _unlike(value: float, limit: float) -> str:
    """A number in three digits, or in as many as tell it from the limit that it misses."""
    texts = [f"{value:.{digits}g}" for digits in range(3, 10)]
    return next((text for text in texts if float(text) != float(f"{limit:g}")), texts[-1])
