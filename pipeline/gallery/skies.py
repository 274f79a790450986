"""Skies at four times of day: clouds, stars, a moon, and the colour of their light."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, oval
from pipeline.gallery.palette import WHITE, Colour, mix

Scene = Callable[[Canvas, Random, float, float], None]

"""scene(canvas, rng, width, height): fills a rectangle of picture units, origin top left."""


@dataclass(frozen=True)
class Sky:
    """Colours of a time of day: sky from top to horizon, clouds and their undersides."""

    top: Colour
    middle: Colour
    low: Colour
    cloud: Colour
    under: Colour
    tint: Colour
    dark: float


SKIES: dict[str, Sky] = {
    "day": Sky(
        (64, 142, 224), (132, 196, 246), (220, 242, 252), WHITE, (190, 214, 240), WHITE, 0.0
    ),
    "dawn": Sky(
        (150, 178, 236),
        (246, 200, 222),
        (255, 238, 214),
        (255, 246, 244),
        (236, 196, 216),
        (255, 214, 210),
        0.12,
    ),
    "sunset": Sky(
        (92, 84, 160),
        (240, 134, 122),
        (255, 218, 142),
        (255, 206, 170),
        (206, 118, 138),
        (236, 120, 96),
        0.3,
    ),
    "night": Sky(
        (16, 20, 58),
        (40, 50, 112),
        (98, 104, 172),
        (92, 100, 164),
        (58, 64, 124),
        (36, 40, 96),
        0.68,
    ),
}


def frame(wide: float, high: float) -> Path:
    """A rectangle a little larger than the scene."""
    return [(-1, -1), (wide + 1, -1), (wide + 1, high + 1), (-1, high + 1)]


def pick_sky(rng: Random, names: str = "day day day dawn sunset night") -> Sky:
    return SKIES[rng.choice(names.split())]


def apply_light(colour: Colour, sky: Sky) -> Colour:
    """A colour in the light of the sky."""
    return mix(colour, sky.tint if sky.dark else colour, min(0.8, sky.dark * 1.15))


def draw_sky(canvas: Canvas, rng: Random, sky: Sky, wide: float, high: float, end: float) -> None:
    """Draw the sky down to `end`, with stars and a moon, or sun and clouds."""
    stops = ((0.0, sky.top), (end * 0.55, sky.middle), (end, sky.low))
    canvas.grade(frame(wide, high), stops)
    if sky.dark > 0.5:
        for _ in range(60):
            size = rng.choice((0.25, 0.3, 0.4, 0.7))
            spot = oval(rng.uniform(0, wide), rng.uniform(0, end), size, size, steps=6)
            canvas.fill(spot, (255, 252, 226), rng.uniform(0.4, 1))
        x, y = wide * rng.choice((0.16, 0.84)), end * rng.uniform(0.14, 0.3)
        canvas.glow(x, y, 24, 24, (214, 220, 255), 0.5)
        canvas.fill(oval(x, y, 6.5, 6.5), (255, 250, 220))
    else:
        canvas.glow(wide * rng.uniform(0, 1), end * 0.85, wide * 0.8, end * 0.6, sky.low, 0.8)
    for _ in range(rng.randint(2, 5)):
        x = wide * (rng.uniform(-0.1, 0.35) if rng.random() < 0.5 else rng.uniform(0.65, 1.1))
        draw_cloud(canvas, rng, sky, x, end * rng.uniform(0.1, 0.9), rng.uniform(0.7, 1.5))


def draw_cloud(canvas: Canvas, rng: Random, sky: Sky, x: float, y: float, scale: float) -> None:
    """Draw a heap of cloud with a flat, darker underside."""
    puffs = []
    for index in range(7):
        away = (index - 3) / 3
        size = scale * (9.5 * (1 - 0.6 * away * away) + rng.uniform(-1, 1.6))
        puffs.append((x + away * 17 * scale + rng.uniform(-1, 1), y - size * 0.45, size))
    for px, py, size in puffs:
        canvas.fill(oval(px, py + size * 0.18, size, size * 0.74, steps=20), sky.under)
    for px, py, size in puffs:
        canvas.fill(
            oval(px - 0.6, py - size * 0.12, size * 0.93, size * 0.66, steps=20), sky.cloud
        )
