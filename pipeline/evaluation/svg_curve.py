"""Chart of the report: a distance over snapshots, as SVG in the page's colours.

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
"""Edges of the plotted area; tick labels stand outside."""

X_INTERVALS, Y_INTERVALS = 7, 5
"""Intervals between ticks of each axis, about."""

MAX_DOTS = 60  # more touch each other
LOG_RATIO = 20  # of largest to smallest value, above which the axis is logarithmic

Point = tuple[int, float]
"""Images seen, and the distance."""


@dataclass(frozen=True)
class Axis:
    """Maps values between the first and the last of `ticks` to coordinates `start` to `end`."""

    ticks: tuple[float, ...]
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the coordinate of a value, to a hundredth."""
        low, high = self._scale(self.ticks[0]), self._scale(self.ticks[-1])
        share = (self._scale(value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 2)

    def _scale(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def curve_svg(points: Sequence[Point], best: int | None, name: str) -> Markup:
    """Draw a line through `points` with the one at `best` images marked, as an SVG element.

    name: key of the distance. Points that aren't finite are left out; Markup("") if none is left.
    The vertical axis need not start at 0.
    """
    finite = [(images, value) for images, value in sorted(points) if math.isfinite(value)]
    if not finite:
        return Markup("")
    x_axis = _x_axis([images for images, _ in finite])
    y_axis = _y_axis([value for _, value in finite])
    marked = [point for point in finite if point[0] == best][:1]
    parts = [
        _ticks(x_axis, y_axis),
        _line(finite, x_axis, y_axis),
        *(_best(point, x_axis, y_axis) for point in marked),
        *(_dot(point, x_axis, y_axis) for point in finite if len(finite) <= MAX_DOTS),
    ]
    return Markup(
        '<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>'
    ).format(WIDTH, HEIGHT, f"{name} over images seen", Markup("\n").join(parts))


def _x_axis(images: Sequence[int]) -> Axis:
    return Axis(even_ticks(min(images), max(images), X_INTERVALS), LEFT, RIGHT)


def _y_axis(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    if low > 0 and high > LOG_RATIO * low:
        return Axis(decade_ticks(low, high), BOTTOM, TOP, logarithmic=True)
    return Axis(even_ticks(low, high, Y_INTERVALS), BOTTOM, TOP)


def even_ticks(low: float, high: float, intervals: int) -> tuple[float, ...]:
    """Return round numbers that enclose `low` and `high`, at most `intervals` + 2 of them."""
    if low == high:
        margin = abs(low) / 10 or 1.0
        low, high = low - margin, high + margin
    step = _round_up((high - low) / intervals)
    first, last = math.floor(low / step), math.ceil(high / step)
    return tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))


def _round_up(step: float) -> float:
    """Round up to 1, 2, 5 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * part for part in (1, 2, 5, 10) if power * part >= step * (1 - 1e-9))


def decade_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return 1, 2, 5, 10, ... or powers of ten that enclose `low` and `high`, both above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = tuple(10.0**power for power in range(first, last + 1))
    if len(powers) > Y_INTERVALS - 1:
        return powers
    fine = [power * part for power in powers for part in (1, 2, 5)]
    inside = [each for each in fine if low <= each <= high]
    below = max(each for each in fine if each <= low)
    above = min(each for each in fine if each >= high)
    return tuple(dict.fromkeys((below, *inside, above)))


def _ticks(x_axis: Axis, y_axis: Axis) -> Markup:
    horizontal = (
        Markup(
            '<line class="rule" x1="{}" x2="{}" y1="{y}" y2="{y}"/>'
            '<text class="tick up" x="{}" y="{y}" dy=".35em">{}</text>'
        ).format(LEFT, RIGHT, LEFT - 8, short(tick), y=y_axis.at(tick))
        for tick in y_axis.ticks
    )
    vertical = (
        Markup('<text class="tick" x="{}" y="{}">{}</text>').format(
            x_axis.at(tick), BOTTOM + 20, short(tick)
        )
        for tick in x_axis.ticks
    )
    title = Markup('<text class="tick" x="{}" y="{}">images seen</text>').format(
        (LEFT + RIGHT) / 2, BOTTOM + 42
    )
    return Markup("\n").join((*horizontal, *vertical, title))


def _line(points: Sequence[Point], x_axis: Axis, y_axis: Axis) -> Markup:
    path = " ".join(f"{x_axis.at(images)},{y_axis.at(value)}" for images, value in points)
    return Markup('<polyline class="line" points="{}"/>').format(path)


def _dot(point: Point, x_axis: Axis, y_axis: Axis) -> Markup:
    images, value = point
    return Markup('<circle class="dot" cx="{}" cy="{}" r="3"><title>{}</title></circle>').format(
        x_axis.at(images), y_axis.at(value), _tooltip(point)
    )


def _best(point: Point, x_axis: Axis, y_axis: Axis) -> Markup:
    """Draw a ring, a line down to the axis and the value above, inwards at an edge."""
    x, y = x_axis.at(point[0]), y_axis.at(point[1])
    anchor = "start" if x < LEFT + 60 else "end" if x > RIGHT - 60 else "middle"
    return Markup(
        '<line class="guide" x1="{x}" x2="{x}" y1="{y}" y2="{bottom}"/>'
        '<circle class="best" cx="{x}" cy="{y}" r="7"><title>{tooltip}</title></circle>'
        '<text class="value" x="{x}" y="{above}" text-anchor="{anchor}">best {value}</text>'
    ).format(
        x=x,
        y=y,
        bottom=BOTTOM,
        above=y - 14,
        anchor=anchor,
        tooltip=_tooltip(point),
        value=figure(point[1]),
    )


def _tooltip(point: Point) -> str:
    return f"{count(point[0])} images: {point[1]!r}"
