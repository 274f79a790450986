"""Scenes of buildings and events: a town, a festival at night, a stage, a flat card."""

import math
from random import Random

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import oval, quad
from pipeline.gallery.furniture import box
from pipeline.gallery.palette import ACCENTS, INK, WHITE, Colour, mix, pen
from pipeline.gallery.skies import SKIES, Sky, apply_light, draw_sky, frame, pick_sky


def draw_town(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """Roofs and towers, with windows lit when it is dark; a fence now and then."""
    sky = pick_sky(rng, "day dawn sunset sunset night night")
    level = high * rng.uniform(0.62, 0.75)
    draw_sky(canvas, rng, sky, wide, high, level)
    for layer in range(3):
        base = mix((176, 194, 222), (96, 108, 140), layer / 2)
        colour = mix(apply_light(base, sky), sky.low, 0.4 - layer * 0.2)
        x = -6.0
        while x < wide:
            width = rng.uniform(9, 18)
            top = level - rng.uniform(8, 34) * (1 - layer * 0.22) + layer * high * 0.07
            _tower(canvas, rng, (x, top, x + width, high + 1), colour, sky)
            x += width + rng.uniform(-0.5, 3)
    if rng.random() < 0.5:
        _fence(canvas, wide, high, mix(apply_light((120, 130, 140), sky), INK, 0.15))


def _tower(
    canvas: Canvas, rng: Random, sides: tuple[float, float, float, float], colour: Colour, sky: Sky
) -> None:
    left, top, right, low = sides
    canvas.fill(box(left, top, right, low), colour)
    third = right - (right - left) * 0.22
    canvas.fill(box(third, top, right, low), mix(colour, INK, 0.12))
    glass = (255, 226, 150) if sky.dark > 0.2 else mix(colour, WHITE, 0.45)
    pane = mix(colour, INK, 0.25)
    y = top + 3
    while y < min(low, top + 60):
        x = left + 1.4
        while x < third - 1.6:
            bright = rng.random() < (0.5 if sky.dark > 0.2 else 0.7)
            canvas.fill(box(x, y, x + 1.5, y + 2.2), glass if bright else pane)
            x += 2.8
        y += 4.2


def _fence(canvas: Canvas, wide: float, high: float, colour: Colour) -> None:
    for y in (high * 0.6, high * 0.64, high * 0.95):
        canvas.line([(-1, y), (wide + 1, y)], colour, 1.3)
    for step in range(int(wide / 4.5) + 1):
        canvas.line([(step * 4.5, high * 0.6), (step * 4.5, high + 1)], colour, 0.7)


def draw_festival(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """Strings of lanterns at night, and lights far off."""
    sky = SKIES["night"]
    canvas.grade(
        frame(wide, high), ((0, sky.top), (high * 0.6, (74, 44, 92)), (high, (150, 72, 84)))
    )
    for _ in range(26):
        size = rng.uniform(2, 7)
        light = rng.choice(((255, 190, 96), (255, 140, 110), (255, 226, 150), (190, 130, 220)))
        spot = oval(rng.uniform(0, wide), rng.uniform(high * 0.25, high), size, size, steps=24)
        canvas.fill(spot, light, rng.uniform(0.12, 0.35))
    for row in range(rng.randint(2, 3)):
        start, end = high * (0.02 + 0.2 * row), high * (0.06 + 0.2 * row)
        rope = quad((-5, start), (wide / 2, end + rng.uniform(8, 16)), (wide + 5, start), 14)
        canvas.line(rope, (60, 40, 60), 0.5)
        for x, y in rope[1::2]:
            _lantern(
                canvas, x, y, rng.uniform(3.4, 4.6), rng.choice(((226, 60, 52), (255, 236, 200)))
            )


def _lantern(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    canvas.glow(x, y + size * 1.4, size * 3, size * 3, (255, 190, 100), 0.55)
    canvas.fill(oval(x, y + size * 1.3, size, size * 1.15, steps=20), colour)
    canvas.fill(oval(x, y + size * 1.3, size * 0.5, size * 0.9, steps=16), (255, 226, 140), 0.6)
    for level in (0.2, 2.4):
        bar = [(x - size * 0.5, y + size * level), (x + size * 0.5, y + size * level)]
        canvas.line(bar, (50, 30, 40), 0.9)


def draw_stage(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """A stage: dark, beams of coloured light, confetti, lamps of the audience."""
    colour = rng.choice(((60, 34, 96), (28, 44, 104), (100, 32, 82), (24, 72, 96)))
    canvas.grade(
        frame(wide, high),
        ((0.0, mix(colour, INK, 0.5)), (high, mix(colour, (255, 140, 190), 0.45))),
    )
    for share in (0.05, 0.35, 0.65, 0.95):
        light = mix(rng.choice(ACCENTS[:6]), WHITE, 0.5)
        _beams(canvas, wide * share, -4, high * 1.3, light, rng)
        canvas.glow(wide * share, 0, 14, 14, WHITE, 0.8)
    for _ in range(40):
        x, y, size = rng.uniform(0, wide), rng.uniform(0, high), rng.uniform(0.7, 1.5)
        bit = [(x, y - size), (x + size, y), (x, y + size), (x - size * 0.6, y)]
        canvas.fill(bit, mix(rng.choice(ACCENTS), WHITE, 0.4), 0.9)
    for _ in range(22):
        x, size = rng.uniform(0, wide), rng.uniform(2, 4)
        canvas.glow(x, high * rng.uniform(0.8, 1), size * 1.6, size * 2.4, (255, 240, 255), 0.7)


def _beams(canvas: Canvas, x: float, y: float, reach: float, colour: Colour, rng: Random) -> None:
    """Wedges of light that spread downwards from a point."""
    for _ in range(4):
        angle = rng.uniform(0.2, 0.8) * math.pi
        ends = [(x + reach * math.cos(a), y + reach * math.sin(a)) for a in (angle, angle + 0.12)]
        canvas.fill([(x, y), *ends], colour, 0.16)


def draw_card(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """A flat card: one colour, a great disc, dots that fade, a frame."""
    colour = mix(rng.choice(ACCENTS), WHITE, rng.uniform(0.35, 0.7))
    deep = mix(colour, INK, 0.16)
    canvas.fill(frame(wide, high), colour)
    x, y, size = wide * rng.uniform(0.42, 0.58), high * 0.42, min(wide, high) * 0.46
    if rng.random() < 0.5:
        for step in range(int((wide + high) / 9)):
            start = step * 9 - high
            canvas.fill(
                [(start, high), (start + 4, high), (start + high + 4, 0), (start + high, 0)],
                deep,
                0.4,
            )
    canvas.fill(oval(x, y, size, size, steps=60), mix(colour, WHITE, 0.6))
    canvas.line(oval(x, y, size * 1.08, size * 1.08, steps=60), WHITE, 0.8)
    for row in range(14):
        for column in range(int(wide / 4) + 1):
            reach = 1.5 * (1 - row / 14)
            spot = (column * 4 + row % 2 * 2, high - row * 3.4)
            canvas.fill(oval(*spot, reach, reach, steps=10), WHITE, 0.55)
    canvas.line(box(3, 3, wide - 3, high - 3), WHITE, 1.0, closed=True)
    canvas.line(box(4.8, 4.8, wide - 4.8, high - 4.8), pen(colour), 0.35, closed=True)
    for corner in ((3.0, 3.0), (wide - 3, 3.0), (3.0, high - 3), (wide - 3, high - 3)):
        canvas.shape(oval(*corner, 2.2, 2.2, steps=4), WHITE, pen(colour), 0.4)
