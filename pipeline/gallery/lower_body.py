"""Drawing of legs and skirts, gowns, trousers, the lower half of a kimono."""

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.clothes import Clothes, cloth_shade, seam
from pipeline.gallery.curves import Path, quad
from pipeline.gallery.design import Design
from pipeline.gallery.palette import INK, WHITE, Colour, mix

WAIST = 134.0


def draw_legs(canvas: Canvas, design: Design, clothes: Clothes) -> None:
    skin = design.skin
    for side in (-1, 1):
        leg: Path = [(side * 2, 164), (side * 33, 168), (side * 29, 236), (side * 24, 290)]
        leg += [(side * 23, 460), (side * 4, 460), (side * 5, 290)]
        covered = clothes.cut == "trousers"
        canvas.shape(
            leg,
            clothes.lower if covered else skin.base,
            seam(clothes.lower) if covered else skin.line,
        )
        inner = [(side * 2, 178), (side * 10, 178), (side * 9, 290), (side * 8, 460)]
        tone = cloth_shade(clothes.lower) if covered else skin.shade
        canvas.fill([*inner, (side * 4, 460), (side * 5, 290)], tone)
        if clothes.socks and not covered:
            top: Path = [(side * 3.5, 248), (side * 29, 244), (side * 25, 290), (side * 24, 460)]
            canvas.shape([*top, (side * 3, 460)], clothes.socks, seam(clothes.socks), 0.8)


def draw_lower(canvas: Canvas, design: Design, clothes: Clothes) -> None:
    colour, line = clothes.lower, seam(clothes.lower)
    match clothes.cut:
        case "trousers":
            hips: Path = [(-27, 146), (27, 146), (34, 170), (33, 190), (-33, 190), (-34, 170)]
            canvas.fill(hips, colour)
        case "pleats":
            _draw_skirt(canvas, design, colour, 48, 216, 9)
        case "plain":
            _draw_skirt(canvas, design, colour, 42, 230, 3)
        case "gown":
            _draw_skirt(canvas, design, colour, 72, 272, 7)
        case _:
            wrap: Path = [(-33, 136), (33, 136), (39, 178), (37, 460), (-37, 460), (-39, 178)]
            canvas.shape(wrap, colour, line)
            fold = quad((-14, 138), (6, 240), (2, 460))
            canvas.fill([*fold, (20, 460), (8, 240), (-8, 138)], cloth_shade(colour), 0.8)
            canvas.line(fold, line, 0.9)


def _draw_skirt(
    canvas: Canvas, design: Design, colour: Colour, half: float, hem: float, folds: int
) -> None:
    """A skirt from the waist to `hem`, `half` wide there, with folds that open downwards."""
    line, top = seam(colour), WAIST
    edge: Path = []
    for index in range(2 * folds + 1):
        x = half - half * index / folds
        edge.append((x, hem - (x / half) ** 2 * 7 + (3 if index % 2 else 0)))
    right = quad((24.5, top), (half * 0.84, top + 22), edge[0])
    left = quad(edge[-1], (-half * 0.84, top + 22), (-24.5, top))
    outline = [*right, *edge, *left]
    canvas.shape(outline, colour, line)
    for index in range(1, 2 * folds, 2):
        start = (24 - 24 * index / folds, top + 6)
        foot, beside = edge[index], edge[index + 1]
        canvas.fill([start, foot, beside], cloth_shade(colour))
        canvas.line([start, foot], line, 0.7)
    if folds > 3 and design.jitter % 3:
        _draw_stripes(canvas, outline, half, hem, mix(colour, WHITE, 0.6))
    band: Path = [(-25, top - 4), (25, top - 4), (26, top + 6), (-26, top + 6)]
    sash = design.accent if design.outfit == "dress" else mix(colour, INK, 0.25)
    canvas.shape(band, sash, line, 0.8)


def _draw_stripes(canvas: Canvas, outline: Path, half: float, hem: float, colour: Colour) -> None:
    """Two stripes above the hem."""
    with canvas.clip(outline):
        for lift, width in ((7.0, 1.6), (12.0, 0.9)):
            stripe = quad(
                (-half - 4, hem - 14 - lift), (0, hem + 6 - lift), (half + 4, hem - 14 - lift)
            )
            canvas.line(stripe, colour, width)
