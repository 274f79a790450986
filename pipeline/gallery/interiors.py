"""Indoor scenes: a bedroom, a library, a classroom."""

from random import Random

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import oval
from pipeline.gallery.furniture import (
    WOODS,
    box,
    draw_books,
    draw_chest,
    draw_pictures,
    draw_plant,
    draw_shelf,
    draw_window,
)
from pipeline.gallery.palette import INK, WHITE, Colour, mix
from pipeline.gallery.skies import frame

_WALLS: tuple[Colour, ...] = (
    (246, 228, 210),
    (222, 232, 240),
    (240, 214, 220),
    (220, 232, 214),
    (236, 226, 244),
    (196, 206, 224),
    (250, 236, 200),
)


def draw_room(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """A bedroom: wallpaper, a window, a shelf, pictures, a lamp, the floor."""
    wall, wood = rng.choice(_WALLS), rng.choice(WOODS)
    floor = high * rng.uniform(0.82, 0.92)
    canvas.grade(frame(wide, high), ((0.0, mix(wall, WHITE, 0.3)), (floor, mix(wall, INK, 0.08))))
    _wallpaper(canvas, rng, wall, wide, floor)
    canvas.fill(box(-1, floor, wide + 1, high + 1), wood)
    for step in range(1, 4):
        y = floor + (high - floor) * step / 4
        canvas.line([(-1, y), (wide + 1, y)], mix(wood, INK, 0.2), 0.4)
    canvas.fill(box(-1, floor - 2.2, wide + 1, floor), mix(wall, WHITE, 0.7))
    side = rng.choice((-1, 1))
    middle = wide * (0.5 + side * rng.uniform(0.16, 0.3))
    draw_window(canvas, rng, middle, high * rng.uniform(0.06, 0.14), wide * 0.25, high * 0.5, wood)
    other = wide * (0.5 - side * rng.uniform(0.26, 0.36))
    if rng.random() < 0.6:
        draw_shelf(canvas, rng, other, high * 0.36, wide * 0.15, wood)
        draw_pictures(canvas, rng, other, high * 0.12, 1)
        draw_chest(canvas, rng, other, high * 0.66, floor + 2, wood)
    else:
        draw_pictures(canvas, rng, other, high * 0.15, 3)
        draw_plant(canvas, rng, other, floor + 3)


def _wallpaper(canvas: Canvas, rng: Random, wall: Colour, wide: float, floor: float) -> None:
    tone = mix(wall, rng.choice((WHITE, INK)), 0.1)
    kind = rng.choice(("stripes", "dots", "plain"))
    for step in range(int(wide / 6) + 1):
        if kind == "stripes":
            canvas.fill(box(step * 6, -1, step * 6 + 3, floor), tone)
        elif kind == "dots":
            for row in range(int(floor / 7)):
                spot = (step * 6 + (row % 2) * 3, row * 7 + 3)
                canvas.fill(oval(*spot, 0.8, 0.8, steps=8), tone)


def draw_library(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """Shelves full of books up to the ceiling."""
    wood = rng.choice(WOODS)
    canvas.fill(frame(wide, high), mix(wood, INK, 0.55))
    row, gap = 0.0, rng.uniform(15, 19)
    column = rng.uniform(30, 44)
    start = rng.uniform(-20, 0)
    while row < high + gap:
        left = start
        while left < wide:
            draw_books(canvas, rng, left + 1.5, left + column - 1.5, row, gap * 0.82)
            left += column
        canvas.fill(box(-1, row, wide + 1, row + 2), wood)
        canvas.fill(box(-1, row + 2, wide + 1, row + 4.5), INK, 0.3)
        row += gap
    left = start
    while left < wide:
        canvas.fill(box(left - 1.5, -1, left + 1.5, high + 1), mix(wood, WHITE, 0.08))
        left += column
    canvas.glow(wide * rng.choice((0.1, 0.9)), 0, wide * 0.8, high * 0.7, (255, 226, 164), 0.5)


def draw_classroom(canvas: Canvas, rng: Random, wide: float, high: float) -> None:
    """A board with chalk on it, windows beside it, desks below."""
    wall, wood = mix(rng.choice(_WALLS), WHITE, 0.3), rng.choice(WOODS)
    canvas.grade(frame(wide, high), ((0.0, wall), (high, mix(wall, INK, 0.14))))
    side = rng.choice((0, 1))
    left, right = (wide * 0.34, wide + 4) if side else (-4.0, wide * 0.66)
    top, low = high * 0.1, high * 0.58
    canvas.fill(box(left - 1.8, top - 1.8, right + 1.8, low + 1.8), wood)
    canvas.grade(box(left, top, right, low), ((top, (62, 106, 92)), (low, (44, 82, 74))))
    for _ in range(12):
        _chalk(canvas, rng, left + 3, right - 3, top + 4, low - 4)
    canvas.fill(box(left - 1.8, low + 1.8, right + 1.8, low + 4), mix(wood, WHITE, 0.3))
    draw_window(
        canvas, rng, wide * (0.13 if side else 0.87), high * 0.08, wide * 0.13, high * 0.5, wood
    )
    for x in (wide * 0.05, wide * 0.55, wide * 0.95):
        y = high * rng.uniform(0.76, 0.8)
        top_face = [(x - 17, y), (x + 17, y), (x + 20, y + 6), (x - 20, y + 6)]
        canvas.shape(top_face, mix(wood, WHITE, 0.3), mix(wood, INK, 0.4), 0.5)
        canvas.fill(box(x - 20, y + 6, x + 20, y + 9), mix(wood, INK, 0.2))
        for leg in (-17, 16):
            canvas.fill(box(x + leg, y + 9, x + leg + 1.8, high + 1), (120, 128, 140))


def _chalk(canvas: Canvas, rng: Random, left: float, right: float, top: float, low: float) -> None:
    chalk = rng.choice((WHITE, WHITE, (255, 222, 140), (255, 178, 190)))
    x, y = rng.uniform(left, right - 8), rng.uniform(top, low)
    if rng.random() < 0.3:
        canvas.line(oval(x, y, 3, 3, steps=18), mix(chalk, (60, 100, 90), 0.3), 0.5)
        return
    word = [(x + i * 1.1, y + rng.uniform(-1.1, 1.1)) for i in range(rng.randint(5, 12))]
    canvas.line(word, mix(chalk, (60, 100, 90), 0.25), 0.5)
