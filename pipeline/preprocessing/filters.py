"""Filters: limits on the size and shape of a picture and on the quality of an avatar."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.params.data import FilterParams
from pipeline.preprocessing.faces.rules import Reject

SMALL_PICTURE = "picture too small"
LONG_PICTURE = "picture too long or too flat"


@dataclass(frozen=True, slots=True)
class QualityLimit:
    """A limit on a measure of an avatar: field of MEASURES_DTYPE, and key of `filters`."""

    measure: str
    key: str
    reason: str
    meaning: str

    @property
    def is_maximum(self) -> bool:
        return self.key.startswith("max")

    def value(self, filters: FilterParams) -> float:
        """The limit as set; values equal to it pass."""
        return float(getattr(filters, self.key))


QUALITY_LIMITS = (
    QualityLimit("contrast", "min_contrast", "nearly one tone", "deviation of the colours"),
    QualityLimit("one_colour", "max_one_colour", "nearly one colour", "share of one colour"),
    QualityLimit("sharpness", "min_sharpness", "blurred", "variance of the Laplacian"),
    QualityLimit("colour", "min_colour", "grey", "mean distance of R, G and B"),
)
"""In the order of the checks."""


def check_quality_at_all(filters: FilterParams) -> bool:
    """Whether any limit on the avatar's quality is on."""
    return any(each.value(filters) != each.is_maximum for each in QUALITY_LIMITS)


def check_picture(size: tuple[int, int], filters: FilterParams) -> Reject | None:
    """The reject of a picture of (width, height) pixels beyond a limit, else None."""
    short, long = min(size), max(size)
    shape = f"{size[0]}x{size[1]}"
    if short < filters.min_side:
        return Reject(SMALL_PICTURE, f"{shape}, a side under {filters.min_side} pixels")
    if long > filters.max_aspect * short:
        ratio = _distinguish(long / short, filters.max_aspect)
        return Reject(LONG_PICTURE, f"{shape}, {ratio} to 1, over {filters.max_aspect:g}")
    return None


def find_faults(measures: NDArray[Any], filters: FilterParams) -> NDArray[np.int8]:
    """For (n,) of MEASURES_DTYPE the first fault: 1 + index into QUALITY_LIMITS, or 0.

    A measure that was not taken (NaN) passes.
    """
    faults = np.zeros(len(measures), np.int8)
    for index, each in reversed(list(enumerate(QUALITY_LIMITS))):
        values, limit = measures[each.measure], each.value(filters)
        faults[values > limit if each.is_maximum else values < limit] = index + 1
    return faults


def describe_fault(measured: np.void, fault: QualityLimit, filters: FilterParams) -> str:
    """Value and limit of a fault: "sharpness 12.3, under 20"."""
    limit, side = fault.value(filters), "over" if fault.is_maximum else "under"
    value = _distinguish(float(measured[fault.measure]), limit)
    return f"{fault.measure.replace('_', ' ')} {value}, {side} {limit:g}"


def _distinguish(value: float, limit: float) -> str:
    """A number in three digits, or in as many as distinguish it from the limit that it misses."""
    texts = [f"{value:.{digits}g}" for digits in range(3, 10)]
    return next((text for text in texts if float(text) != float(f"{limit:g}")), texts[-1])
