"""Furniture of indoor scenes: a window, shelves of books, a chest, pictures, a plant."""

from random import Random

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, oval, quad, smooth, taper
from pipeline.gallery.palette import ACCENTS, INK, WHITE, Colour, mix
from pipeline.gallery.skies import draw_sky, pick_sky

WOODS: tuple[Colour, ...] = ((190, 140, 98), (150, 104, 76), (214, 176, 132), (120, 88, 78))

_SPINES: tuple[Colour, ...] = (
    (172, 70, 66),
    (70, 102, 140),
    (92, 134, 100),
    (206, 168, 96),
    (118, 84, 126),
    (226, 214, 190),
    (80, 80, 98),
    (196, 122, 92),
)


def box(left: float, top: float, right: float, low: float) -> Path:
    return [(left, top), (right, top), (right, low), (left, low)]


def draw_window(
    canvas: Canvas, rng: Random, x: float, top: float, half: float, tall: float, wood: Colour
) -> None:
    """A window with the sky behind it, between curtains."""
    left, right, low = x - half, x + half, top + tall
    bars = mix(wood, WHITE, 0.75)
    canvas.fill(box(left - 2, top - 2, right + 2, low + 2), mix(bars, INK, 0.25))
    canvas.fill(box(left - 1.4, top - 1.4, right + 1.4, low + 1.4), bars)
    with canvas.clip(box(left, top, right, low)):
        x0, y0 = canvas.origin
        canvas.stand(x0 + left, y0 + top)
        draw_sky(canvas, rng, pick_sky(rng), right - left, tall, tall)
        canvas.stand(x0, y0)
    canvas.line([(x, top), (x, low)], bars, 1.6)
    canvas.line([(left, top + tall * 0.45), (right, top + tall * 0.45)], bars, 1.4)
    canvas.fill(box(left - 3.5, low + 1, right + 3.5, low + 3.6), mix(bars, INK, 0.1))
    cloth = mix(rng.choice(ACCENTS), WHITE, 0.45)
    for way in (-1, 1):
        _curtain(canvas, x + way * (half + 3), -way * half * 0.5, top - 3, tall + 12, cloth)
    canvas.line([(left - 7, top - 3.5), (right + 7, top - 3.5)], mix(wood, INK, 0.3), 1.4)


def _curtain(
    canvas: Canvas, x: float, reach: float, top: float, tall: float, cloth: Colour
) -> None:
    inner = smooth([(x + reach, top), (x + reach * 0.8, top + tall * 0.5), (x, top + tall * 0.68)])
    inner += smooth([(x, top + tall * 0.68), (x + reach * 0.35, top + tall)])
    outline = [*inner, (x - reach * 0.5, top + tall), (x - reach * 0.5, top)]
    canvas.shape(outline, cloth, mix(cloth, INK, 0.4), 0.5)
    for share in (0.1, 0.4, 0.7):
        fold = [(x + reach * share, top + 1), (x + reach * share * 0.5, top + tall * 0.5)]
        fold.append((x - reach * 0.1, top + tall * 0.68))
        canvas.fill(taper(smooth(fold), 1.6), mix(cloth, INK, 0.18))


def draw_books(
    canvas: Canvas, rng: Random, left: float, right: float, low: float, tall: float
) -> None:
    x = left
    while x < right - 1.2:
        width, height = rng.uniform(1.4, 3.2), tall * rng.uniform(0.68, 1)
        if rng.random() < 0.1:
            x += width
            continue
        spine = rng.choice(_SPINES)
        end = min(x + width, right)
        canvas.fill(box(x, low - height, end, low), spine)
        canvas.fill(box(end - 0.5, low - height, end, low), mix(spine, INK, 0.3))
        canvas.fill(box(x + 0.3, low - height * 0.8, end - 0.5, low - height * 0.7), WHITE, 0.5)
        x += width


def draw_shelf(canvas: Canvas, rng: Random, x: float, y: float, half: float, wood: Colour) -> None:
    for step in range(2):
        low = y + step * 15
        draw_books(canvas, rng, x - half + 1, x + half * rng.uniform(0.2, 0.9), low, 9.5)
        canvas.fill(box(x - half, low, x + half, low + 1.6), wood)
        canvas.fill(box(x - half, low + 1.6, x + half, low + 2.6), mix(wood, INK, 0.35), 0.5)


def draw_chest(
    canvas: Canvas, rng: Random, x: float, top: float, low: float, wood: Colour
) -> None:
    tone = mix(wood, WHITE, 0.15)
    canvas.shape(box(x - 17, top, x + 17, low), tone, mix(wood, INK, 0.45), 0.5)
    for step in range(3):
        y = top + 2 + (low - top) * step / 3
        drawer = box(x - 15, y, x + 15, y + (low - top) / 3 - 3)
        canvas.shape(drawer, mix(tone, WHITE, 0.12), mix(wood, INK, 0.35), 0.5)
        canvas.fill(oval(x, y + (low - top) / 6 - 1.5, 1, 1, steps=10), (240, 214, 140))
    canvas.glow(x + 6, top - 12, 16, 16, (255, 236, 180), 0.8)
    canvas.fill(box(x + 5.3, top - 8, x + 6.7, top), mix(wood, INK, 0.3))
    shade = [(x + 1, top - 8), (x + 11, top - 8), (x + 9, top - 17), (x + 3, top - 17)]
    canvas.shape(shade, mix(rng.choice(ACCENTS), WHITE, 0.6), (150, 120, 100), 0.5)


def draw_pictures(canvas: Canvas, rng: Random, x: float, y: float, count: int) -> None:
    for index in range(count):
        half, tall = rng.uniform(4.5, 7), rng.uniform(8, 13)
        left = x + (index % 2 * 2 - 1) * 8 * (count > 1) - half
        top = y + index * 11
        canvas.fill(box(left - 1, top - 1, left + 2 * half + 1, top + tall + 1), rng.choice(WOODS))
        colour = mix(rng.choice(ACCENTS), WHITE, 0.5)
        canvas.fill(box(left, top, left + 2 * half, top + tall), colour)
        canvas.fill(oval(left + half, top + tall * 0.5, half * 0.5, half * 0.5), WHITE, 0.6)


def draw_plant(canvas: Canvas, rng: Random, x: float, low: float) -> None:
    for _ in range(13):
        reach, rise = rng.uniform(-16, 16), rng.uniform(18, 38)
        leaf = quad((x, low - 9), (x + reach * 0.3, low - rise), (x + reach, low - rise * 0.85))
        green = mix((70, 138, 88), rng.choice((WHITE, INK)), rng.uniform(0, 0.25))
        canvas.fill(taper(leaf, 4.5), green)
    pot: Path = [(x - 7, low - 11), (x + 7, low - 11), (x + 5, low + 3), (x - 5, low + 3)]
    canvas.shape(pot, (206, 122, 92), (120, 60, 48), 0.6)
