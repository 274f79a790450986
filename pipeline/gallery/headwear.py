"""Drawing of headwear: animal ears, horns, bows, bands, headphones, crown, beret."""

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, oval, quad, ribbon, smooth, translate
from pipeline.gallery.head import Head
from pipeline.gallery.palette import INK, WHITE, Colour, mix, pen

_PINK: Colour = (246, 178, 184)
_GOLD: Colour = (246, 204, 82)


def draw_animal(canvas: Canvas, head: Head) -> None:
    """Draw ears of a cat or fox, or horns, before the front hair, which covers their roots."""
    design = head.design
    hair = design.hair
    for side in (-1, 1):
        match design.headwear:
            case "cat_ears" | "fox_ears":
                tall = 66.0 if design.headwear == "cat_ears" else 74.0
                rise = smooth([(side * 37, -28), (side * 38, -50), (side * 33, -tall)])
                fall = smooth([(side * 33, -tall), (side * 20, -58), (side * 10, -46)])
                canvas.shape(rise + fall, hair.base, hair.line, 1.0)
                inner = [
                    (side * 33.5, -32),
                    (side * 34, -50),
                    (side * 32, -tall + 6),
                    (side * 18, -48),
                ]
                canvas.fill(
                    inner, _PINK if design.headwear == "cat_ears" else mix(WHITE, hair.base, 0.15)
                )
            case "horns":
                path = smooth(
                    [(side * 24, -40), (side * 33, -54), (side * 35, -62), (side * 30, -72)]
                )
                count = len(path)
                horn = ribbon(path, [9 * (1 - index / (count - 0.99)) for index in range(count)])
                colour = mix(design.accent, INK, 0.55)
                canvas.shape(horn, colour, pen(colour), 0.9)
            case _:
                pass


def _arc(radius: float, level: float, lift: float) -> Path:
    return oval(0, level, radius, lift, 196, 344, steps=22)


def _bow(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    line = pen(colour)
    for side in (-1, 1):
        tail = [
            (x, y),
            (x + side * size * 0.55, y + size * 1.05),
            (x + side * size * 0.95, y + size * 0.7),
        ]
        canvas.shape(tail, mix(colour, INK, 0.18), line, 0.8)
        wing = smooth(
            [
                (x, y),
                (x + side * size * 0.7, y - size * 0.62),
                (x + side * size * 1.15, y - size * 0.4),
                (x + side * size * 1.1, y + size * 0.45),
                (x + side * size * 0.6, y + size * 0.4),
            ],
            closed=True,
        )
        canvas.shape(wing, colour, line, 0.8)
        fold = quad(
            (x + side * size * 0.25, y),
            (x + side * size * 0.6, y - 0.4),
            (x + side * size * 0.85, y + 0.6),
        )
        canvas.line(fold, line, 0.5)
    canvas.shape(oval(x, y, size * 0.3, size * 0.36, steps=16), mix(colour, WHITE, 0.2), line, 0.8)


def _hairband(canvas: Canvas, head: Head) -> None:
    colour = head.design.accent
    volume = head.design.volume
    arc = _arc(40.6 * volume, -8, 33 * volume)
    canvas.fill(ribbon(arc, [5.6] * len(arc)), pen(colour))
    canvas.fill(ribbon(arc, [4.0] * len(arc)), colour)
    canvas.fill(ribbon(translate(arc[4:12], 0, -0.6), [0.9] * 8), mix(colour, WHITE, 0.6))


def _headphones(canvas: Canvas, head: Head) -> None:
    colour, volume = head.design.accent, head.design.volume
    metal = mix(colour, INK, 0.75)
    arc = oval(0, -8, 43.5 * volume, 46.5 * volume, 180, 360, steps=26)
    canvas.fill(ribbon(arc, [5.0] * len(arc)), INK)
    canvas.fill(ribbon(arc, [3.2] * len(arc)), metal)
    for side in (-1, 1):
        x = side * 42.5 * volume
        canvas.shape(oval(x, 5, 6.4, 10.5), colour, pen(colour), 0.9)
        canvas.fill(oval(x - 1, 1, 2.2, 4, steps=16), mix(colour, WHITE, 0.45))


def _crown(canvas: Canvas, head: Head) -> None:
    y = -44 * head.design.volume
    points: Path = [
        (-13, y + 2),
        (-16, y - 13),
        (-7.5, y - 6),
        (0, y - 16),
        (7.5, y - 6),
        (16, y - 13),
        (13, y + 2),
    ]
    points += quad((13, y + 2), (0, y + 5), (-13, y + 2))
    canvas.shape(points, _GOLD, (120, 76, 30), 0.9)
    for x in (-7.0, 0.0, 7.0):
        canvas.fill(oval(x, y - 1.4, 1.7, 1.7, steps=12), head.design.accent)


def _beret(canvas: Canvas, head: Head) -> None:
    colour = head.design.accent
    lean = head.design.pin_side * 5
    cap = smooth(
        [
            (-37, -35),
            (-38 + lean, -53),
            (-16 + lean, -65),
            (16 + lean, -65),
            (38 + lean, -53),
            (37, -35),
            (0, -44),
        ],
        closed=True,
    )
    canvas.shape(cap, colour, pen(colour), 1.0)
    with canvas.clip(cap):
        canvas.glow(-head.design.light_side * 14 + lean, -60, 24, 13, mix(colour, WHITE, 0.5), 0.7)
        canvas.glow(head.design.light_side * 34 + lean, -44, 22, 20, mix(colour, INK, 0.5), 0.6)
    band = quad((-36.5, -34.5), (0, -48), (36.5, -34.5), 16)
    canvas.fill(ribbon(band, [4.6] * len(band)), pen(colour))
    canvas.fill(ribbon(band, [3.0] * len(band)), mix(colour, INK, 0.2))


def draw_headwear(canvas: Canvas, head: Head) -> None:
    """Draw the headwear over the hair."""
    design = head.design
    match design.headwear:
        case "ribbon":
            _bow(canvas, design.pin_side * 21, -44 * design.volume, 10.5, design.accent)
        case "bow_band":
            _hairband(canvas, head)
            _bow(canvas, design.pin_side * 27, -37 * design.volume, 8, design.accent)
        case "hairband":
            _hairband(canvas, head)
        case "headphones":
            _headphones(canvas, head)
        case "crown":
            _crown(canvas, head)
        case "beret":
            _beret(canvas, head)
        case _:
            pass
