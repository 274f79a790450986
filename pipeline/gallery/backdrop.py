"""Backgrounds: a gradient, and on it stripes, rays, bokeh, clouds, stars, petals or dots."""

import math
from random import Random

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, oval, quad, rotate
from pipeline.gallery.design import Design
from pipeline.gallery.palette import WHITE, Colour, mix

_FRAME: Path = [(-1, -1), (101, -1), (101, 101), (-1, 101)]


def _stripes(canvas: Canvas, rng: Random, colour: Colour) -> None:
    width = rng.uniform(5, 12)
    lean = rng.choice((-45, -20, 0, 30))
    x = -110.0
    while x < 110:
        canvas.fill(
            [(x, -5), (x + width, -5), (x + width + lean, 105), (x + lean, 105)], colour, 0.5
        )
        x += 2 * width


def _rays(canvas: Canvas, rng: Random, colour: Colour) -> None:
    count = rng.randint(9, 15)
    start = rng.random()
    for index in range(count):
        angles = [2 * math.pi * (index + start + part) / count for part in (0.0, 0.5)]
        ends = [(50 + 100 * math.cos(angle), 50 + 100 * math.sin(angle)) for angle in angles]
        canvas.fill([(50, 50), *ends], colour, 0.5)


def _bokeh(canvas: Canvas, rng: Random, colour: Colour) -> None:
    for _ in range(12):
        size = rng.uniform(4, 13)
        spot = oval(rng.uniform(0, 100), rng.uniform(0, 100), size, size)
        canvas.fill(spot, colour, rng.uniform(0.18, 0.45))


def _clouds(canvas: Canvas, rng: Random, colour: Colour) -> None:
    for _ in range(5):
        x, y = rng.choice((rng.uniform(0, 22), rng.uniform(78, 100))), rng.uniform(4, 80)
        for _ in range(5):
            size = rng.uniform(5, 9)
            canvas.fill(
                oval(x + rng.uniform(-11, 11), y + rng.uniform(-2.5, 2.5), size, size * 0.6),
                mix(colour, WHITE, 0.7),
            )


def _star(x: float, y: float, size: float) -> Path:
    path: Path = []
    corners = [(x, y - size), (x + size, y), (x, y + size), (x - size, y)]
    for index, corner in enumerate(corners):
        path += quad(corner, (x, y), corners[(index + 1) % 4], 4)
    return path


def _stars(canvas: Canvas, rng: Random, colour: Colour) -> None:
    for _ in range(16):
        shape = _star(rng.uniform(0, 100), rng.uniform(0, 100), rng.uniform(1.5, 5.5))
        canvas.fill(shape, mix(colour, WHITE, 0.75))


def _petals(canvas: Canvas, rng: Random, colour: Colour) -> None:
    petal = mix(colour, (255, 190, 210), 0.6)
    for _ in range(14):
        x, y = rng.uniform(0, 100), rng.uniform(0, 100)
        size = rng.uniform(2, 5)
        path = quad((x, y - size), (x + size, y), (x, y + size)) + quad(
            (x, y + size), (x - size, y), (x, y - size)
        )
        canvas.fill(rotate(path, (x, y), rng.uniform(0, 180)), petal, 0.85)


def _dots(canvas: Canvas, rng: Random, colour: Colour) -> None:
    gap, size = rng.uniform(11, 17), rng.uniform(2, 4)
    for row in range(int(100 / gap) + 2):
        for column in range(int(100 / gap) + 2):
            spot = (column * gap + (row % 2) * gap / 2, row * gap)
            canvas.fill(oval(*spot, size, size, steps=16), colour, 0.6)


def _split(canvas: Canvas, rng: Random, colour: Colour) -> None:
    left, right = rng.uniform(15, 85), rng.uniform(15, 85)
    canvas.fill([(-1, left), (101, right), (101, 101), (-1, 101)], colour)


_KINDS = {
    "stripes": _stripes,
    "rays": _rays,
    "bokeh": _bokeh,
    "clouds": _clouds,
    "stars": _stars,
    "petals": _petals,
    "dots": _dots,
    "split": _split,
}


def draw_backdrop(canvas: Canvas, design: Design) -> None:
    """Fill the whole picture."""
    rng = Random(design.jitter ^ 0xBD)
    top, bottom = design.backdrop_colours
    if design.light_side > 0:
        top, bottom = bottom, top
    canvas.grade(_FRAME, ((0.0, top), (100.0, bottom)))
    if design.backdrop != "gradient":
        dark = sum(top) + sum(bottom) < 900
        colour = mix(top, WHITE, 0.3) if dark else mix(mix(top, bottom, 0.5), WHITE, 0.6)
        if not dark and design.backdrop in ("stripes", "rays", "dots", "split"):
            colour = mix(bottom, top, 0.2) if sum(top) > sum(bottom) else mix(top, bottom, 0.2)
        _KINDS[design.backdrop](canvas, rng, colour)
