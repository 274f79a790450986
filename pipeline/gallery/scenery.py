"""Outdoor scenes: a meadow, the sea, a grove in three seasons, snow."""

from random import Random

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, oval, quad, ribbon, rotate, smooth, taper
from pipeline.gallery.palette import INK, WHITE, Colour, mix
from pipeline.gallery.skies import Sky, apply_light, draw_sky, pick_sky


def _ridge(rng: Random, wide: float, level: float, swing: float, high: float) -> Path:
    knots = [(wide * step / 5, level + rng.uniform(-swing, swing)) for step in range(-1, 7)]
    return [*smooth(knots), (wide * 1.3, high + 1), (-wide * 0.3, high + 1)]


def draw_meadow(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """Hills, trees and a meadow with flowers."""
    sky = pick_sky(rng)
    level = high * rng.uniform(0.45, 0.62)
    draw_sky(canvas, rng, sky, wide, high, level)
    for step, colour in enumerate(((142, 186, 206), (120, 178, 136), (104, 176, 92))):
        top = level + step * high * 0.07
        canvas.grade(
            _ridge(rng, wide, top, 5 - step, high),
            (
                (top, apply_light(mix(colour, WHITE, 0.15), sky)),
                (high, apply_light(mix(colour, INK, 0.12), sky)),
            ),
        )
        if step == 1:
            for _ in range(7):
                _bush(canvas, rng, sky, rng.uniform(0, wide), top + 5, rng.uniform(3, 7))
    for _ in range(70):
        x, y = rng.uniform(0, wide), rng.uniform(level + high * 0.2, high + 3)
        blade = quad((x, y), (x + 0.5, y - 3), (x + rng.uniform(-2, 2), y - 5), 4)
        canvas.fill(taper(blade, 0.9, "fade"), apply_light((72, 142, 74), sky))
    for _ in range(26):
        x, y = rng.uniform(0, wide), rng.uniform(level + high * 0.22, high)
        petal = rng.choice(((255, 255, 255), (255, 206, 92), (246, 150, 180), (190, 160, 240)))
        canvas.fill(oval(x, y, 1.3, 1.2, steps=8), apply_light(petal, sky))
        canvas.fill(oval(x, y, 0.5, 0.5, steps=6), apply_light((250, 214, 80), sky))


def _bush(canvas: Canvas, rng: Random, sky: Sky, x: float, y: float, size: float) -> None:
    for lift, colour in ((0.0, (62, 124, 84)), (0.25, (92, 160, 96)), (0.5, (134, 192, 110))):
        for _ in range(4):
            spot = (x + rng.uniform(-0.7, 0.7) * size, y - (lift + rng.uniform(0, 0.4)) * size)
            reach = size * (0.62 - lift * 0.5)
            canvas.fill(oval(*spot, reach, reach * 0.85, steps=16), apply_light(colour, sky))


def draw_sea(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """Sea with glitter, and a strip of sand."""
    sky = pick_sky(rng)
    level, shore = high * rng.uniform(0.42, 0.58), high * rng.uniform(0.78, 0.88)
    draw_sky(canvas, rng, sky, wide, high, level)
    far, near = apply_light((66, 146, 206), sky), apply_light((126, 214, 220), sky)
    canvas.grade(
        [(-1, level), (wide + 1, level), (wide + 1, high + 1), (-1, high + 1)],
        ((level, mix(far, sky.low, 0.35)), (level + 6, far), (shore, near)),
    )
    for _ in range(70):
        way = rng.random()
        y = level + 1 + (shore - level) * way * way
        reach = 1 + 5 * way
        x = rng.uniform(0, wide)
        canvas.fill(oval(x, y, reach, 0.25 + 0.3 * way, steps=10), mix(sky.low, WHITE, 0.5), 0.6)
    sand = [(wide + 1, high + 1), (-1, high + 1)]
    edge = smooth([(wide * step / 4, shore + rng.uniform(-2, 2)) for step in range(-1, 6)])
    canvas.fill([*[(x, y - 2.4) for x, y in edge], *sand], WHITE, 0.85)
    canvas.fill([*edge, *sand], apply_light((246, 224, 178), sky))


_SEASONS: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "spring": ((226, 134, 172), (248, 182, 206), (255, 222, 234), (190, 222, 166)),
    "summer": ((52, 116, 80), (88, 160, 92), (154, 208, 118), (130, 184, 104)),
    "autumn": ((186, 74, 52), (232, 128, 58), (252, 194, 88), (216, 176, 110)),
}


def draw_grove(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """Trees on both sides in blossom, leaf or autumn colours, and what falls from them."""
    sky = pick_sky(rng, "day day dawn sunset")
    deep, plain, bright, ground = (
        apply_light(colour, sky) for colour in _SEASONS[rng.choice(tuple(_SEASONS))]
    )
    level = high * rng.uniform(0.6, 0.72)
    draw_sky(canvas, rng, sky, wide, high, level)
    canvas.fill(_ridge(rng, wide, level - 5, 3, high), mix(deep, sky.low, 0.55))
    canvas.grade(
        _ridge(rng, wide, level + 2, 1.5, high), ((level, ground), (high, mix(ground, INK, 0.2)))
    )
    for share in (0.02, 0.98, rng.uniform(0.14, 0.24), rng.uniform(0.76, 0.88)):
        x = wide * share
        lean = rng.uniform(-4, 4)
        trunk = smooth([(x, high + 2), (x + lean, high * 0.5), (x + lean * 2, -4)])
        wood = mix(apply_light((112, 80, 74), sky), deep, 0.15)
        canvas.fill(ribbon(trunk, [6 - 4 * i / len(trunk) for i in range(len(trunk))]), wood)
    _crowns(canvas, rng, (deep, plain, bright), wide, high)
    for _ in range(24):
        spot = (rng.uniform(0, wide), rng.uniform(0, high))
        leaf = oval(*spot, rng.uniform(0.8, 1.5), 0.6, steps=8)
        canvas.fill(rotate(leaf, spot, rng.uniform(0, 180)), rng.choice((plain, bright)))


def _crowns(
    canvas: Canvas, rng: Random, tones: tuple[Colour, Colour, Colour], wide: float, high: float
) -> None:
    """Foliage that hangs in from both upper corners: clumps, lit from above."""
    for _ in range(26):
        away = rng.uniform(0, 0.46)
        x = wide * (away if rng.random() < 0.5 else 1 - away)
        y = high * (0.46 - away) * rng.uniform(0, 1) - 2
        size = rng.uniform(6, 9.5)
        for lift, tone in ((0.0, tones[0]), (0.16, tones[1]), (0.5, tones[2])):
            for _ in range(6):
                spot = (x + rng.uniform(-0.8, 0.8) * size, y + rng.uniform(-0.6, 0.5) * size)
                reach = size * (0.5 - lift * 0.66)
                canvas.fill(
                    oval(spot[0], spot[1] - lift * size, reach, reach * 0.8, steps=10), tone
                )


def draw_snow(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """Firs in snow, and falling flakes."""
    sky = pick_sky(rng, "dawn night night")
    level = high * rng.uniform(0.6, 0.72)
    draw_sky(canvas, rng, sky, wide, high, level)
    white = mix((246, 250, 255), sky.under, 0.25 + sky.dark * 0.3)
    for layer in range(3):
        tree = mix(mix((60, 100, 104), sky.tint, sky.dark * 0.6), sky.low, 0.5 - layer * 0.22)
        for _ in range(6):
            x, tall = rng.uniform(0, wide), rng.uniform(18, 34) * (0.7 + 0.2 * layer)
            _fir(canvas, x, level + layer * 4 + 4, tall, tree, white)
        top = level + layer * 5
        canvas.grade(
            _ridge(rng, wide, top + 3, 2, high),
            ((top, white), (high, mix(white, sky.under, 0.5))),
        )
    for _ in range(50):
        size = rng.choice((0.5, 0.7, 0.9, 1.5))
        spot = oval(rng.uniform(0, wide), rng.uniform(0, high), size, size, steps=10)
        canvas.fill(spot, WHITE, rng.uniform(0.55, 0.95))


def _fir(canvas: Canvas, x: float, y: float, tall: float, colour: Colour, snow: Colour) -> None:
    for step in range(4):
        top, half = y - tall + tall * step * 0.2, tall * (0.12 + 0.07 * step)
        low = top + tall * 0.4
        canvas.fill([(x, top), (x + half, low), (x - half, low)], colour)
        canvas.fill(
            [(x, top), (x + half * 0.5, low - tall * 0.2), (x - half * 0.6, low)], snow, 0.8
        )
