"""Drawing of collar and shoulders, the clothes that an avatar shows."""

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, mirror, oval, quad, smooth
from pipeline.gallery.design import Design
from pipeline.gallery.head import Head
from pipeline.gallery.palette import INK, WHITE, Colour, mix

_NECKLINES = {
    "sailor": 53,
    "shirt": 52,
    "hoodie": 52,
    "turtleneck": 52,
    "dress": 58,
    "kimono": 54,
    "choker": 57,
}


def _shoulders(canvas: Canvas, colour: Colour, line: Colour, neckline: float) -> None:
    half = smooth([(9.5, neckline), (18, neckline + 4), (38, 61), (50, 76), (54, 100)])
    canvas.shape([*mirror(half)[::-1], *half], colour, line)


def _flap(canvas: Canvas, path: Path, colour: Colour, line: Colour) -> None:
    canvas.shape(path, colour, line, 0.8)
    canvas.shape(mirror(path), colour, line, 0.8)


def draw_outfit(canvas: Canvas, head: Head) -> None:
    """Draw the clothes, upright even if the head is tilted."""
    design = head.design
    colour = WHITE if design.outfit == "sailor" else design.cloth
    _shoulders(canvas, colour, mix(design.cloth, INK, 0.68), _NECKLINES[design.outfit])
    _draw_collar(canvas, design)


def _draw_collar(canvas: Canvas, design: Design) -> None:
    cloth, accent = design.cloth, design.accent
    line = mix(cloth, INK, 0.68)
    match design.outfit:
        case "sailor":
            _flap(canvas, [(9, 47), (24, 55), (27, 76), (0, 66)], cloth, line)
            _flap(canvas, [(0, 63), (12, 60), (11, 72)], accent, mix(accent, INK, 0.6))
        case "shirt":
            _flap(canvas, [(8.5, 45), (17, 53), (11, 64), (0, 56)], mix(cloth, WHITE, 0.75), line)
            canvas.shape(
                [(-3, 56), (3, 56), (5, 80), (-5, 80)], accent, mix(accent, INK, 0.6), 0.8
            )
        case "hoodie":
            hood = smooth([(8, 45), (26, 47), (30, 58), (14, 64), (0, 62)])
            _flap(canvas, hood, mix(cloth, WHITE, 0.14), line)
        case "turtleneck":
            canvas.shape(
                [(-11, 43), *quad((-11, 43), (0, 47), (11, 43)), (12, 57), (-12, 57)],
                mix(cloth, WHITE, 0.12),
                line,
            )
        case "dress":
            for x in range(-18, 19, 6):
                canvas.shape(oval(x, 57 + abs(x) * 0.12, 3.9, 3.2), WHITE, line, 0.7)
        case "kimono":
            canvas.shape([(-12, 46), (-20, 55), (6, 82), (10, 72)], accent, line, 0.8)
            canvas.shape(
                [(12, 46), (20, 55), (-8, 84), (-11, 74)], mix(accent, WHITE, 0.35), line, 0.8
            )
        case _:
            canvas.shape(
                [
                    (-10, 44),
                    *quad((-10, 44), (0, 50), (10, 44)),
                    *quad((10, 48), (0, 54), (-10, 48)),
                ],
                mix(accent, INK, 0.3),
                line,
                0.6,
            )
            canvas.shape(oval(0, 52.2, 1.8, 1.8), accent, line, 0.5)
