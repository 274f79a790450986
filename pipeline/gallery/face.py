"""Skin of the head: neck, ears, face with its shade, blush, nose, mouth, brows."""

from random import Random

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, oval, quad, smooth, taper, translate
from pipeline.gallery.head import EYE_LEVEL, Head
from pipeline.gallery.palette import INK, WHITE, Colour, mix

_BLUSH: Colour = (246, 96, 104)
_MOUTH: Colour = (150, 40, 52)
_TONGUE: Colour = (240, 122, 122)
_BROW_SLOPE = {"calm": 0.0, "happy": -0.6, "angry": 3.6, "worried": -3.6, "wow": -1.2}
_BROW_LIFT = {"calm": 0.0, "happy": 1.0, "angry": -1.5, "worried": 0.5, "wow": 2.6}


def draw_neck(canvas: Canvas, head: Head) -> None:
    """The neck, with the shade that the chin throws on it."""
    skin = head.design.skin
    shift = head.turn * 1.5
    neck: Path = [
        (-9.5 + shift, 20),
        (9.5 + shift, 20),
        (9.8, 52),
        (24, 62),
        (-24, 62),
        (-9.8, 52),
    ]
    canvas.shape(neck, skin.base, skin.line, 0.8)
    shade: Path = [
        (-9.2 + shift, 20),
        (9.2 + shift, 20),
        (9.5, 44),
        *quad((9.5, 44), (0, 53), (-9.5, 45)),
    ]
    canvas.fill(shade, skin.shade)


def draw_ears(canvas: Canvas, head: Head) -> None:
    """Both ears; hair covers them later where it is long."""
    skin = head.design.skin
    for side in (-1, 1):
        x = side * 34 - head.turn * 1.6
        ear = smooth(
            [
                (x - side * 3, 1),
                (x + side * 3, 2),
                (x + side * 3.6, 8),
                (x, 17),
                (x - side * 4, 17),
            ],
            closed=True,
        )
        canvas.shape(ear, skin.base, skin.line, 0.8)
        inner = quad((x + side * 1.6, 5), (x + side * 1.2, 9), (x - side * 1.2, 12))
        canvas.fill(taper(inner, 1.6), skin.shade)


def draw_face(canvas: Canvas, head: Head, fringe: Path) -> None:
    """The face with shade from the side of the light and under the fringe."""
    skin = head.design.skin
    outline = head.outline()
    canvas.shape(outline, skin.base, skin.line, 0.9)
    side = head.design.light_side
    with canvas.clip(outline):
        canvas.fill(translate(fringe, -side * 0.8, 3.4), skin.shade)
        core = smooth(
            [(side * 40, -20), (side * 31, 6), (side * 27.5, 20), (side * 15, 33), (side * 4, 41)]
        )
        canvas.fill([*translate(core, head.turn * 3.5, 0), (side * 40, 45)], skin.shade, 0.75)
        canvas.glow(-side * 12 + head.turn * 4, 24, 16, 12, mix(skin.base, WHITE, 0.25), 0.6)


def draw_blush(canvas: Canvas, head: Head) -> None:
    """Soft or hatched cheeks, freckles, a mole."""
    design = head.design
    rng = Random(design.jitter ^ 0xB1)
    with canvas.clip(head.outline(), [(-36, 12), (36, 34)]):
        for side in (-1, 1):
            x, y = head.on_face(side * 20.5, 22.5)
            if design.blush in ("soft", "both"):
                canvas.glow(x, y, 9, 5, _BLUSH, 0.5)
            if design.blush in ("hatch", "both"):
                for step in (-2.4, 0.0, 2.4):
                    stroke = [(x + step + 0.9, y - 1.6), (x + step, y), (x + step - 0.9, y + 1.6)]
                    canvas.fill(taper(stroke, 0.8), mix(_BLUSH, INK, 0.15))
            if design.mark == "freckles":
                for _ in range(5):
                    spot = (x + rng.uniform(-4.5, 4.5), y - 2 + rng.uniform(-2, 2))
                    canvas.fill(oval(*spot, 0.6, 0.6, steps=8), mix(design.skin.shade, INK, 0.25))
    if design.mark == "mole":
        x, y = head.on_face(design.pin_side * 12, 24.5)
        canvas.fill(oval(x, y, 0.75, 0.75, steps=10), mix(design.skin.line, INK, 0.5))


def draw_nose(canvas: Canvas, head: Head) -> None:
    """A hint of a nose: a dot, a hook or a small shade."""
    skin = head.design.skin
    x, y = head.on_face(0, 20.5)
    lean = 1.0 if head.turn >= 0 else -1.0
    match head.design.nose:
        case "dot":
            canvas.fill(taper([(x - 0.8, y), (x, y + 0.5), (x + 0.8, y)], 1.0), skin.line)
        case "hook":
            hook = smooth(
                [(x - lean * 0.4, y - 2.2), (x + lean * 0.9, y), (x - lean * 0.4, y + 0.5)]
            )
            canvas.fill(taper(hook, 0.9), skin.line)
        case _:
            shade = [(x - lean * 0.6, y - 3), (x + lean * 1.5, y + 0.4), (x - lean * 1, y + 0.6)]
            canvas.fill(shade, skin.shade)
            canvas.fill(oval(x - lean * 0.4, y - 1.2, 0.5, 0.8, steps=10), WHITE, 0.8)


def _open_mouth(
    canvas: Canvas, x: float, y: float, wide: float, deep: float, line: Colour
) -> None:
    top = quad((x - wide, y), (x, y + 0.9), (x + wide, y), 10)
    edge = quad((x + wide, y), (x, y + 2 * deep), (x - wide, y), 14)
    inside = top + edge
    canvas.fill(inside, _MOUTH)
    with canvas.clip(inside):
        canvas.fill(oval(x, y + deep * 1.15, wide * 0.72, deep * 0.5), _TONGUE)
        canvas.fill(
            [(x - wide, y - 1), (x + wide, y - 1), (x + wide, y + 1.3), (x - wide, y + 1.3)], WHITE
        )
    canvas.line(inside, line, 0.75, closed=True)


def draw_mouth(canvas: Canvas, head: Head) -> None:
    """One of nine mouths."""
    design = head.design
    x, y = head.on_face(0, 28.2)
    wide = 5.8 * design.mouth_width
    line = mix(design.skin.line, INK, 0.3)
    match design.mouth:
        case "open":
            _open_mouth(canvas, x, y - 1.2, wide, 5.2 * design.mouth_width, line)
        case "fang":
            _open_mouth(canvas, x, y - 0.8, wide * 0.9, 3.6 * design.mouth_width, line)
            fx = x + design.pin_side * wide * 0.48
            canvas.fill([(fx - 1.0, y - 0.6), (fx + 1.0, y - 0.6), (fx, y + 2.1)], WHITE)
        case "round":
            canvas.shape(oval(x, y + 0.6, 2.2, 2.9), _MOUTH, line, 0.75)
            canvas.fill(oval(x, y + 2.0, 1.4, 1.0), _TONGUE)
        case "cat":
            bows = quad((x - wide * 0.75, y - 0.6), (x - wide * 0.35, y + 3), (x, y))
            bows += quad((x, y), (x + wide * 0.35, y + 3), (x + wide * 0.75, y - 0.6))
            canvas.fill(taper(bows, 1.25), line)
        case "wave":
            wave = [(x - wide * 0.7, y + 0.8), (x - wide * 0.3, y - 0.7), (x, y + 0.6)]
            wave += [(x + wide * 0.35, y - 0.7), (x + wide * 0.7, y + 0.8)]
            canvas.fill(taper(smooth(wave), 1.25), line)
        case mouth:
            bend = {"smile": 3.4, "line": 0.3, "small": 0.8, "frown": -3.2}[mouth]
            wide *= {"smile": 0.95, "line": 0.62, "small": 0.34, "frown": 0.75}[mouth]
            lift = bend * 0.25
            bow = quad((x - wide, y - lift), (x, y - lift + bend), (x + wide, y - lift))
            canvas.fill(taper(bow, 1.25), line)


def draw_brows(canvas: Canvas, head: Head, alpha: float) -> None:
    """Brows; drawn once on the skin and once, fainter, over the fringe."""
    design = head.design
    slope, lift = _BROW_SLOPE[design.expression], _BROW_LIFT[design.expression]
    colour = mix(design.hair.shade, INK, 0.35)
    for side in (-1, 1):
        y = EYE_LEVEL - design.eye_form.height - 5.6 - lift
        inner = head.on_face(side * 8.5, y + slope * 0.75)
        middle = head.on_face(side * 15, y - 1.9 + slope * 0.1)
        outer = head.on_face(side * 22.5, y - slope * 0.5 + 0.6)
        canvas.fill(taper(smooth([inner, middle, outer]), 1.5 * design.brow), colour, alpha)
