"""Charts of the report: a curve over snapshots, drawn as SVG that takes the page's colours.

Drawn by hand: Matplotlib costs over a second to import, its files change with its version and
fonts, and it knows nothing of a page that may be light or dark, wide or narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.evaluation.format_number import count, figure, short

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 530, 34, 230
"""Edges of the plotted area; the numbers at the axes stand outside."""

ACROSS, UPWARD = 7, 5
"""Intervals at each axis, about."""

MOST_DOTS = 60  # more touch each other
FAR_APART = 20  # times the smallest, from which on the scale is logarithmic

Point = tuple[int, float]
"""Images seen and what was measured."""


@dataclass(frozen=True)
class Axis:
    """Maps values between the first and the last of `ticks` to coordinates `start` to `end`."""

    ticks: tuple[float, ...]
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Coordinate of a value, to a hundredth."""
        low, high = self._scaled(self.ticks[0]), self._scaled(self.ticks[-1])
        share = (self._scaled(value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 2)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def curve_svg(points: Sequence[Point], best: int | None, name: str) -> Markup:
    """A line through `points` with the one at `best` images marked, as an SVG element.

    `name` is what was measured. Points that aren't finite are left out; Markup("") if none is
    left. A scale that starts above 0 shows it by its numbers.
    """
    finite = [(images, value) for images, value in sorted(points) if math.isfinite(value)]
    if not finite:
        return Markup("")
    across = _across([images for images, _ in finite])
    upward = _upward([value for _, value in finite])
    marked = [point for point in finite if point[0] == best][:1]
    parts = [
        _scales(across, upward),
        _line(finite, across, upward),
        *(_best(point, across, upward) for point in marked),
        *(_dot(point, across, upward) for point in finite if len(finite) <= MOST_DOTS),
    ]
    return Markup(
        '<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>'
    ).format(WIDTH, HEIGHT, f"{name} over images seen", Markup("\n").join(parts))


def _across(images: Sequence[int]) -> Axis:
    return Axis(even_ticks(min(images), max(images), ACROSS), LEFT, RIGHT)


def _upward(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    if low > 0 and high > FAR_APART * low:
        return Axis(decade_ticks(low, high), BOTTOM, TOP, logarithmic=True)
    return Axis(even_ticks(low, high, UPWARD), BOTTOM, TOP)


def even_ticks(low: float, high: float, intervals: int) -> tuple[float, ...]:
    """Round numbers that enclose `low` and `high`, at most `intervals` + 2 of them."""
    if low == high:
        margin = abs(low) / 10 or 1.0
        low, high = low - margin, high + margin
    step = _round_up((high - low) / intervals)
    first, last = math.floor(low / step), math.ceil(high / step)
    return tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))


def _round_up(step: float) -> float:
    """The next of 1, 2, 5, 10, ... at a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * part for part in (1, 2, 5, 10) if power * part >= step * (1 - 1e-9))


def decade_ticks(low: float, high: float) -> tuple[float, ...]:
    """Numbers 1, 2, 5, 10, ... that enclose `low` and `high`, both above 0; or powers of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = tuple(10.0**power for power in range(first, last + 1))
    if len(powers) > UPWARD - 1:
        return powers
    fine = [power * part for power in powers for part in (1, 2, 5)]
    inside = [each for each in fine if low <= each <= high]
    below = max(each for each in fine if each <= low)
    above = min(each for each in fine if each >= high)
    return tuple(dict.fromkeys((below, *inside, above)))


def _scales(across: Axis, upward: Axis) -> Markup:
    rows = (
        Markup(
            '<line class="rule" x1="{}" x2="{}" y1="{y}" y2="{y}"/>'
            '<text class="tick up" x="{}" y="{y}" dy=".35em">{}</text>'
        ).format(LEFT, RIGHT, LEFT - 8, short(tick), y=upward.at(tick))
        for tick in upward.ticks
    )
    columns = (
        Markup('<text class="tick" x="{}" y="{}">{}</text>').format(
            across.at(tick), BOTTOM + 20, short(tick)
        )
        for tick in across.ticks
    )
    title = Markup('<text class="tick" x="{}" y="{}">images seen</text>').format(
        (LEFT + RIGHT) / 2, BOTTOM + 42
    )
    return Markup("\n").join((*rows, *columns, title))


def _line(points: Sequence[Point], across: Axis, upward: Axis) -> Markup:
    path = " ".join(f"{across.at(images)},{upward.at(value)}" for images, value in points)
    return Markup('<polyline class="line" points="{}"/>').format(path)


def _dot(point: Point, across: Axis, upward: Axis) -> Markup:
    images, value = point
    return Markup('<circle class="dot" cx="{}" cy="{}" r="3"><title>{}</title></circle>').format(
        across.at(images), upward.at(value), _said(point)
    )


def _best(point: Point, across: Axis, upward: Axis) -> Markup:
    """A ring, a line down to the axis and the value above; at an edge it is written inwards."""
    x, y = across.at(point[0]), upward.at(point[1])
    anchor = "start" if x < LEFT + 60 else "end" if x > RIGHT - 60 else "middle"
    return Markup(
        '<line class="guide" x1="{x}" x2="{x}" y1="{y}" y2="{bottom}"/>'
        '<circle class="best" cx="{x}" cy="{y}" r="7"><title>{said}</title></circle>'
        '<text class="value" x="{x}" y="{above}" text-anchor="{anchor}">best {value}</text>'
    ).format(
        x=x,
        y=y,
        bottom=BOTTOM,
        above=y - 14,
        anchor=anchor,
        said=_said(point),
        value=figure(point[1]),
    )


def _said(point: Point) -> str:
    return f"{count(point[0])} images: {point[1]!r}"
