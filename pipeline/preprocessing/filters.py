"""Filters: limits on the size and shape of a picture and on the quality of an avatar."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.measures import QUALITY_MEASURES

SMALL_PICTURE = "picture too small"
LONG_PICTURE = "picture too long or too flat"
FLAT = "nearly one tone"
ONE_COLOUR = "nearly one colour"
BLURRED = "blurred"
GREY = "grey"

QUALITY_REASONS = (FLAT, ONE_COLOUR, BLURRED, GREY)
"""Reasons against an avatar, one for each of QUALITY_MEASURES, in the order of the checks."""


@dataclass(frozen=True, slots=True)
class FilterRules:
    """Limits on a picture (the first two) and on its avatar; with the defaults all pass."""

    min_side: int = 0
    max_aspect: float = math.inf
    min_contrast: float = 0.0
    max_one_colour: float = 1.0
    min_sharpness: float = 0.0
    min_colour: float = 0.0

    @property
    def any_quality(self) -> bool:
        """Whether any limit on the avatar's quality is on."""
        floors = (self.min_contrast, self.min_sharpness, self.min_colour)
        return any(floor > 0 for floor in floors) or self.max_one_colour < 1


NO_LIMITS = FilterRules()


def check_picture(size: tuple[int, int], rules: FilterRules) -> Reject | None:
    """The reject of a picture of (width, height) pixels beyond a limit, else None."""
    short, long = min(size), max(size)
    shape = f"{size[0]}x{size[1]}"
    if short < rules.min_side:
        return Reject(SMALL_PICTURE, f"{shape}, a side under {rules.min_side} pixels")
    if long > rules.max_aspect * short:
        ratio = _distinguish(long / short, rules.max_aspect)
        return Reject(LONG_PICTURE, f"{shape}, {ratio} to 1, over {rules.max_aspect:g}")
    return None


def find_faults(measures: NDArray[Any], rules: FilterRules) -> NDArray[np.int8]:
    """For (n,) of MEASURES_DTYPE the first fault: 1 + index into QUALITY_REASONS, or 0.

    A measure that was not taken (NaN) passes.
    """
    faults = np.zeros(len(measures), np.int8)
    for index, (field, limit, above) in reversed(list(enumerate(_limits(rules)))):
        values = measures[field]
        faults[values > limit if above else values < limit] = index + 1
    return faults


def describe_fault(measured: np.void, index: int, rules: FilterRules) -> str:
    """Value and limit of a fault, by its index in QUALITY_REASONS: "sharpness 12.3, under 20"."""
    field, limit, above = _limits(rules)[index]
    side = "over" if above else "under"
    value = _distinguish(float(measured[field]), limit)
    return f"{field.replace('_', ' ')} {value}, {side} {limit:g}"


def _limits(rules: FilterRules) -> list[tuple[str, float, bool]]:
    """Of each quality measure its field, its limit, and whether values above it are at fault."""
    limits = (rules.min_contrast, rules.max_one_colour, rules.min_sharpness, rules.min_colour)
    return [
        (field, limit, field == "one_colour")
        for field, limit in zip(QUALITY_MEASURES, limits, strict=True)
    ]


def _distinguish(value: float, limit: float) -> str:
    """A number in three digits, or in as many as distinguish it from the limit that it misses."""
    texts = [f"{value:.{digits}g}" for digits in range(3, 10)]
    return next((text for text in texts if float(text) != float(f"{limit:g}")), texts[-1])
