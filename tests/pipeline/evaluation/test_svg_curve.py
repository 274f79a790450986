"""The curve over snapshots: every point at its coordinates, the best one marked."""

import math
from itertools import pairwise

import lxml.etree
import pytest

from pipeline.evaluation.svg_curve import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MAX_DOTS,
    RIGHT,
    TOP,
    WIDTH,
    X_INTERVALS,
    Y_INTERVALS,
    Axis,
    curve_svg,
    decade_ticks,
    even_ticks,
)

CURVE = [(12000, 1402.31), (24000, 1188.05), (36000, 950.041), (48000, 968.3)]
CURVES = [
    CURVE,
    [(12000, 941.07)],
    [(0, 0.0)],
    [(1000, 5.0), (2000, 5.0)],
    [(1000, -0.002), (2000, 0.0005), (3000, 0.31)],
    [(10**6, 400.0), (5 * 10**6, 12.1), (9 * 10**6, 11.9)],
    [(1000, 3e-7), (2000, 8e9)],
    [(250 * i, 1e-3 + i * 1e-9) for i in range(500)],
]


def draw(points, best=None, name="fd_lite0_2048"):
    return lxml.etree.fromstring(str(curve_svg(points, best, name)))


def of_class(svg, name):
    return svg.xpath(f"//*[@class='{name}']")


def centre(circle):
    return float(circle.get("cx")), float(circle.get("cy"))


def number(text):
    """Parse a tick label."""
    text = text.replace(",", "").replace("\N{MINUS SIGN}", "-")
    scale = {"k": 1e3, "M": 1e6}.get(text[-1], 1)
    return float(text.rstrip("kM")) * scale


def from_axes(svg):
    """Functions from coordinates to values, by two tick labels of each axis."""
    up = [(float(t.get("y")), number(t.text)) for t in of_class(svg, "tick up")]
    across = [(float(t.get("x")), number(t.text)) for t in of_class(svg, "tick")[:-1]]

    def reader(marks):
        (a, first), (b, last) = marks[0], marks[-1]
        return lambda place: first + (place - a) / (b - a) * (last - first)

    return reader(across), reader(up)


def test_each_dot_read_off_the_axes_gives_its_point():
    svg = draw(CURVE)
    across, up = from_axes(svg)
    found = [centre(dot) for dot in of_class(svg, "dot")]
    assert [across(x) for x, _ in found] == pytest.approx([x for x, _ in CURVE], rel=1e-3)
    assert [up(y) for _, y in found] == pytest.approx([y for _, y in CURVE], rel=1e-3)


def test_the_line_goes_through_the_dots():
    svg = draw(CURVE)
    places = of_class(svg, "line")[0].get("points").split()
    assert [tuple(map(float, each.split(","))) for each in places] == [
        centre(dot) for dot in of_class(svg, "dot")
    ]


@pytest.mark.parametrize("best", [12000, 36000, 48000])
def test_the_best_one_is_marked_where_its_dot_is(best):
    svg = draw(CURVE, best)
    at = [images for images, _ in CURVE].index(best)
    (ring,) = of_class(svg, "best")
    assert centre(ring) == centre(of_class(svg, "dot")[at])
    assert f"{best:,} images: {CURVE[at][1]}" == ring.findtext("title")


def test_the_best_one_has_its_value_written_above():
    svg = draw(CURVE, 36000)
    (value,) = of_class(svg, "value")
    (ring,) = of_class(svg, "best")
    assert value.text == "best 950.0"
    assert float(value.get("y")) < float(ring.get("cy"))


@pytest.mark.parametrize("best", [None, 13000])
def test_a_best_one_that_is_not_in_the_curve_marks_nothing(best):
    assert not of_class(draw(CURVE, best), "best")


@pytest.mark.parametrize("points", CURVES)
def test_nothing_lies_outside_of_the_chart(points):
    svg = draw(points, points[0][0])
    for circle in svg.xpath("//circle"):
        x, y = centre(circle)
        assert LEFT <= x <= RIGHT
        assert TOP <= y <= BOTTOM
    for text in svg.xpath("//text"):
        assert 0 < float(text.get("x")) < WIDTH
        assert 0 < float(text.get("y")) < HEIGHT


@pytest.mark.parametrize("points", CURVES)
def test_lower_values_lie_lower_and_later_ones_further_right(points):
    places = of_class(draw(points), "line")[0].get("points").split()
    places = [tuple(map(float, each.split(","))) for each in places]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    rising = sorted(zip(points, places, strict=True), key=lambda each: each[0][1])
    heights = [y for _, (_, y) in rising]
    assert heights == sorted(heights, reverse=True)


def test_points_that_are_not_finite_are_left_out():
    svg = draw([(1, math.nan), *CURVE, (60000, math.inf)])
    assert len(of_class(svg, "dot")) == len(CURVE)


def test_without_a_finite_point_there_is_no_chart():
    assert curve_svg([(1, math.nan)], 1, "fd") == ""
    assert curve_svg([], None, "fd") == ""


def test_points_in_another_order_give_the_same_chart():
    assert curve_svg(CURVE[::-1], 36000, "fd") == curve_svg(CURVE, 36000, "fd")


def test_a_long_curve_is_a_line_without_dots():
    points = [(i, 100.0 - i) for i in range(MAX_DOTS + 1)]
    svg = draw(points, MAX_DOTS)
    assert not of_class(svg, "dot")
    assert len(of_class(svg, "best")) == 1
    assert len(of_class(svg, "line")[0].get("points").split()) == len(points)


def test_a_hostile_name_stays_a_name():
    name = '"><script>alert(1)</script>&'
    assert name in draw(CURVE, name=name).get("aria-label")


@pytest.mark.parametrize("intervals", [X_INTERVALS, Y_INTERVALS])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (950.0, 1402.3), (-0.003, 0.3), (12000, 120000), (1e-9, 2e-9), (3, 3), (0, 0)],
)
def test_even_ticks_are_few_equal_steps_that_enclose_the_values(low, high, intervals):
    ticks = even_ticks(low, high, intervals)
    steps = [b - a for a, b in pairwise(ticks)]
    assert ticks[0] <= low <= high <= ticks[-1]
    assert 2 <= len(ticks) <= intervals + 2
    assert steps == pytest.approx([steps[0]] * len(steps))


@pytest.mark.parametrize(("low", "high"), [(11.9, 400), (1, 1000), (3e-7, 8e9), (10, 10000)])
def test_decade_ticks_rise_and_enclose_the_values(low, high):
    ticks = decade_ticks(low, high)
    assert ticks[0] <= low < high <= ticks[-1]
    assert all(a < b for a, b in pairwise(ticks))


def test_equal_ratios_are_equally_far_apart_on_a_logarithmic_axis():
    axis = Axis(decade_ticks(1, 1000), 0, 300, logarithmic=True)
    assert [axis.at(value) for value in (1, 10, 100, 1000)] == pytest.approx([0, 100, 200, 300])
