"""Drawing of arms in a few poses, with sleeves and hands, and of things held in both hands."""

from dataclasses import dataclass
from itertools import pairwise

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.clothes import cloth_shade, seam
from pipeline.gallery.curves import Path, Point, oval, quad, ribbon, smooth
from pipeline.gallery.design import Design
from pipeline.gallery.palette import INK, WHITE, Colour, Skin, mix, pen

ELBOW_AND_WRIST: dict[str, tuple[Point, Point]] = {
    "down": ((43.5, 114), (43, 158)),
    "back": ((47, 112), (22, 146)),
    "hip": ((63, 110), (32, 142)),
    "front": ((44, 116), (10, 147)),
    "chest": ((44, 118), (13, 99)),
    "hold": ((45, 117), (19, 126)),
    "wave": ((58, 106), (65, 64)),
}
BEHIND = ("back",)
_SHOULDER: tuple[Point, ...] = ((26, 66), (36, 80))
_WIDTHS = (8.0, 16.0, 13.0, 8.8)
_STEPS = 7
_SHORT = 2 * _STEPS - 3


@dataclass(frozen=True)
class Stance:
    """Pose of the arm on each side of the picture, and the thing held if both are `hold`."""

    left: str
    right: str
    held: str = ""
    lean: float = 0.0  # of the body, in degrees

    def arm(self, side: int) -> str:
        return self.left if side < 0 else self.right


def draw_arms(
    canvas: Canvas, design: Design, stance: Stance, cloth: Colour, sleeve: str, behind: bool
) -> None:
    """Draw the arms behind the torso, or those in front of it."""
    for side in (-1, 1):
        name = stance.arm(side)
        if (name in BEHIND) is behind and name != "wave":
            draw_arm(canvas, design, side, name, cloth, sleeve)


def draw_arm(
    canvas: Canvas, design: Design, side: int, name: str, cloth: Colour, sleeve: str
) -> None:
    """Draw one arm: skin and hand, then the sleeve."""
    skin = design.skin
    elbow, wrist = ELBOW_AND_WRIST[name]
    knots = [(side * x, y) for x, y in (*_SHOULDER, elbow, wrist)]
    path = smooth(knots, steps=_STEPS)
    if name not in BEHIND:
        _draw_hand(canvas, skin, path, side, open_hand=name == "wave")
    _limb(canvas, path, _spread(_WIDTHS), skin.base, skin.line)
    _shade_limb(canvas, path, _spread(_WIDTHS), design.light_side, skin.shade)
    _draw_sleeve(canvas, design, path, cloth, sleeve)


def _spread(widths: tuple[float, ...]) -> list[float]:
    """Widths at the knots, spread evenly over the points between them."""
    spread = [a + (b - a) * step / _STEPS for a, b in pairwise(widths) for step in range(_STEPS)]
    return [*spread, widths[-1]]


def _limb(canvas: Canvas, path: Path, widths: list[float], colour: Colour, line: Colour) -> None:
    """Draw a limb; its outline is open where it joins the body."""
    outline = ribbon(path, widths)
    canvas.fill(outline, colour)
    canvas.line(outline, line, 0.9)


def _shade_limb(
    canvas: Canvas, path: Path, widths: list[float], side: int, colour: Colour
) -> None:
    """Shade the side of a limb away from the light."""
    start = _STEPS
    shifted = [(x + side * w * 0.27, y) for (x, y), w in zip(path, widths, strict=True)]
    narrow = [w * 0.4 for w in widths]
    canvas.fill(ribbon(shifted[start:], narrow[start:]), colour, 0.8)


def _draw_sleeve(canvas: Canvas, design: Design, path: Path, cloth: Colour, kind: str) -> None:
    line = seam(design.cloth)
    cuff = mix(cloth, WHITE, 0.6) if design.outfit == "shirt" else mix(design.cloth, INK, 0.12)
    part, widths = path[:-1], [w * 1.14 + 1.6 for w in _spread(_WIDTHS)][:-1]
    end = 14.0
    match kind:
        case "short":
            part, widths, end = path[:_SHORT], widths[:_SHORT], 21.0
        case "puff":
            part, end, cuff = path[:_SHORT], 18.0, WHITE
            widths = [9.0 + 16 * (1 - (i / (_SHORT - 1) - 0.62) ** 2 / 0.4) for i in range(_SHORT)]
        case "wide":
            part, widths, end = path, [w + 6 for w in _spread((3, 12, 14, 19))], 25.0
            cuff = design.accent
        case _:
            pass
    _limb(canvas, part, widths, cloth, line)
    _shade_limb(canvas, part, widths, design.light_side, cloth_shade(cloth))
    canvas.shape(ribbon(part[-3:], [end] * 3), cuff, line, 0.8)
    _crease(canvas, path, kind, line)


def _crease(canvas: Canvas, path: Path, kind: str, line: Colour) -> None:
    """Draw folds at the elbow of a long sleeve."""
    if kind not in ("short", "puff"):
        x, y = path[2 * _STEPS]
        way = 1 if x > 0 else -1
        for drop in (-3.0, 3.0):
            canvas.line(quad((x + way * 6, y + drop), (x, y + drop + 2), (x - way, y)), line, 0.7)


def _local(path: Path, way: int, points: Path) -> Path:
    """Points (along, across) at the end of the arm in head units; `way` is the sign of across."""
    (ax, ay), (bx, by) = path[-4], path[-1]
    length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
    ux, uy = (bx - ax) / length, (by - ay) / length
    return [(bx + ux * u - way * uy * v, by + uy * u + way * ux * v) for u, v in points]


def _draw_hand(canvas: Canvas, skin: Skin, path: Path, side: int, open_hand: bool) -> None:
    """Draw a hand at the end of the arm, its thumb towards the head or the body."""
    if open_hand:
        side = -side
        for across, reach in ((-5.4, 19), (-2.0, 24), (1.6, 24.5), (5.0, 21)):
            finger: Path = [(6, across * 0.7), (reach, across * 1.7)]
            canvas.shape(
                ribbon(_local(path, side, smooth(finger)), [4.4] * 5 + [4.0, 2.6]),
                skin.base,
                skin.line,
                0.7,
            )
        thumb = _local(path, side, smooth([(2, 4), (8, 9), (13, 12)], steps=3))
        canvas.shape(ribbon(thumb, [5.0] * 5 + [4.2, 2.6]), skin.base, skin.line, 0.7)
        palm = [(-3, -4.6), (4, -6.4), (11, -6.2), (12, 5.6), (4, 6.6), (-3, 4.6)]
        canvas.fill(_local(path, side, smooth(palm, closed=True, steps=3)), skin.base)
        return
    mitt = [(-3, -4.6), (5, -6), (13, -5.4), (20, -3), (22, 0), (19, 3.2), (13, 4.6)]
    mitt += [(14, 7.4), (11, 8.4), (5, 6.2), (-3, 4.6)]
    canvas.shape(_local(path, side, smooth(mitt, closed=True, steps=3)), skin.base, skin.line, 0.8)
    for across in (-2.2, 0.8):
        canvas.line(_local(path, side, [(13, across), (20, across * 0.8)]), skin.line, 0.6)


def draw_held(canvas: Canvas, design: Design, stance: Stance) -> None:
    """Draw the thing held in front of the chest, and the fingers around it."""
    if not stance.held:
        return
    _HELD[stance.held](canvas, design)
    for side in (-1, 1):
        grip = smooth(
            [(side * 22, 128), (side * 13, 130), (side * 12, 141), (side * 22, 144)], closed=True
        )
        canvas.shape(grip, design.skin.base, design.skin.line, 0.8)
        for y in (133.5, 138.0):
            canvas.line([(side * 12.5, y), (side * 18, y)], design.skin.line, 0.6)


def _book(canvas: Canvas, design: Design) -> None:
    colour = mix(design.accent, INK, 0.2)
    canvas.shape([(-22, 108), (22, 108), (21, 150), (-21, 150)], colour, pen(colour))
    canvas.shape([(-17, 114), (17, 114), (16, 124), (-16, 124)], mix(colour, WHITE, 0.7), colour)
    canvas.line([(-19, 108), (-18, 150)], mix(colour, INK, 0.4), 1.4)


def _bear(canvas: Canvas, design: Design) -> None:
    fur: Colour = mix((206, 160, 112), design.accent, 0.2)
    line = pen(fur)
    for x in (-13, 13):
        canvas.shape(oval(x, 100, 6.5, 6.5, steps=18), fur, line, 0.8)
    canvas.shape(oval(0, 140, 19, 20), fur, line)
    canvas.shape(oval(0, 112, 19, 16), fur, line)
    canvas.fill(oval(0, 118, 8, 6, steps=18), mix(fur, WHITE, 0.6))
    for x in (-7, 7):
        canvas.fill(oval(x, 109, 1.8, 2.2, steps=10), INK)
    canvas.fill(oval(0, 115.5, 2.4, 1.8, steps=10), INK)


def _flowers(canvas: Canvas, design: Design) -> None:
    wrap: Path = [(-24, 116), (24, 116), (7, 160), (-7, 160)]
    for x, y in ((-19, 108), (-7, 102), (7, 103), (19, 109), (-12, 114), (1, 112), (13, 115)):
        canvas.shape(oval(x, y, 8, 7.4, steps=16), (112, 172, 104), (50, 96, 60), 0.7)
        colour = mix(design.accent, WHITE, 0.25 + 0.04 * (x % 5))
        canvas.shape(oval(x, y - 1, 6, 5.6, steps=12), colour, pen(colour), 0.7)
        canvas.fill(oval(x, y - 1, 2.2, 2, steps=10), (252, 226, 128))
    canvas.shape(wrap, (250, 244, 236), (150, 130, 130))
    canvas.line([(0, 120), (0, 158)], (206, 192, 190), 1.0)


def _mug(canvas: Canvas, design: Design) -> None:
    colour = mix(design.accent, WHITE, 0.25)
    canvas.shape([(-14, 120), (14, 120), (12, 150), (-12, 150)], colour, pen(colour))
    canvas.shape(oval(0, 120, 14, 3.4), (112, 72, 52), pen(colour), 0.8)
    for x in (-5, 4):
        steam = smooth([(x, 114), (x + 3, 108), (x - 2, 102), (x + 1, 96)])
        canvas.fill(ribbon(steam, [1.6] * len(steam)), WHITE, 0.7)


_HELD = {"book": _book, "bear": _bear, "flowers": _flowers, "mug": _mug}
HELD = tuple(_HELD)
