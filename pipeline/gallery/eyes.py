"""Eyes: white, iris with gradient, pupil and highlights, lids, lashes and creases."""

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, Point, oval, quad, ribbon, smooth, taper
from pipeline.gallery.head import Head
from pipeline.gallery.palette import EYE_COLOURS, INK, WHITE, Colour, mix

_SCLERA_SHADE: Colour = (206, 206, 226)


class Eye:
    """One eye; x runs outward from the nose, so both sides share their numbers."""

    def __init__(self, head: Head, side: int) -> None:
        form = head.design.eye_form
        self.head = head
        self.side = side
        self.centre = head.eye(side)
        self.width = form.width * head.eye_scale(side)
        self.height = form.height * (0.78 if head.design.lids == "half" else 1.0)
        self.slant = form.slant
        self.line = mix(mix(head.design.hair.shade, INK, 0.75), (60, 20, 30), 0.2)

    def at(self, x: float, y: float) -> Point:
        """From shares of half width (outward) and half height to head units."""
        return (
            self.centre[0] + self.side * x * self.width,
            self.centre[1] + y * self.height - x * self.slant,
        )

    def upper(self) -> Path:
        """Upper lid from the inner to the outer corner."""
        top = -0.62 if self.head.design.lids == "half" else -1.0
        knots = [
            (-0.98, 0.12),
            (-0.72, -0.62 + (top + 1) * 0.4),
            (-0.1, top),
            (0.6, -0.78 + (top + 1) * 0.6),
        ]
        return smooth([self.at(*knot) for knot in [*knots, (1.0, -0.1)]], steps=5)

    def lower(self) -> Path:
        """Lower lid from the outer to the inner corner."""
        knots = [(1.0, -0.1), (0.82, 0.62), (0.2, 0.95), (-0.5, 0.86), (-0.98, 0.12)]
        return smooth([self.at(*knot) for knot in knots], steps=5)

    def shut(self) -> bool:
        lids = self.head.design.lids
        return lids == "closed" or (lids == "wink" and self.side == self.head.design.pin_side)


def _iris(canvas: Canvas, eye: Eye, colour: Colour) -> None:
    design = eye.head.design
    gaze = eye.head.turn * 0.9
    x, y = eye.centre[0] + gaze, eye.centre[1] - 0.3
    wide, high = eye.width * 0.78 * design.eye_form.iris, design.eye_form.height * 1.0
    dark, bright = mix(colour, INK, 0.66), mix(colour, WHITE, 0.5)
    stops = ((y - high, dark), (y - high * 0.1, colour), (y + high * 0.95, bright))
    canvas.fill(oval(x, y, wide, high), mix(colour, INK, 0.72))
    canvas.grade(oval(x, y, wide * 0.88, high * 0.92), stops)
    _pupil(canvas, x, y, wide, high, design.pupil, mix(colour, INK, 0.85))
    glint = smooth(
        [
            (x - wide * 0.6, y + high * 0.4),
            (x, y + high * 0.8),
            (x + wide * 0.6, y + high * 0.4),
            (x, y + high * 0.58),
        ],
        closed=True,
    )
    canvas.fill(glint, mix(bright, WHITE, 0.35), 0.75)
    side = -design.light_side
    canvas.fill(oval(x + side * wide * 0.36, y - high * 0.44, wide * 0.36, high * 0.28), WHITE)
    canvas.fill(oval(x - side * wide * 0.42, y + high * 0.42, wide * 0.19, high * 0.13), WHITE)


def _pupil(
    canvas: Canvas, x: float, y: float, wide: float, high: float, kind: str, colour: Colour
) -> None:
    match kind:
        case "slit":
            canvas.fill(
                [
                    (x, y - high * 0.6),
                    (x + wide * 0.2, y),
                    (x, y + high * 0.6),
                    (x - wide * 0.2, y),
                ],
                colour,
            )
        case "ring":
            canvas.fill(oval(x, y, wide * 0.52, high * 0.48), colour)
            canvas.fill(oval(x, y, wide * 0.36, high * 0.34), mix(colour, WHITE, 0.28))
        case _:
            canvas.fill(oval(x, y, wide * 0.42, high * 0.42), colour)


def _lashes(canvas: Canvas, eye: Eye, alpha: float) -> None:
    upper = eye.upper()
    count = len(upper) - 1
    widths = [0.7 + 2.1 * min(1.0, 1.6 * step / count) for step in range(count + 1)]
    canvas.fill(ribbon(upper, widths), eye.line, alpha)
    wing = [eye.at(0.86, -0.5), eye.at(1.22, -0.34), eye.at(1.02, 0.08), eye.at(0.94, -0.1)]
    canvas.fill(wing, eye.line, alpha)
    canvas.fill([eye.at(0.6, -0.9), eye.at(1.16, -0.78), eye.at(0.9, -0.4)], eye.line, alpha)


def draw_lids(canvas: Canvas, head: Head, alpha: float = 1.0) -> None:
    """Upper lashes alone: drawn on the eyes, and faintly again over the fringe."""
    for side in (-1, 1):
        eye = Eye(head, side)
        if eye.shut():
            _shut(canvas, eye, alpha)
        else:
            _lashes(canvas, eye, alpha)


def _shut(canvas: Canvas, eye: Eye, alpha: float) -> None:
    bow = -0.75 if eye.head.design.expression in ("happy", "wow", "calm") else 0.75
    arc = quad(
        eye.at(-0.95, 0.3 if bow < 0 else 0.1),
        eye.at(0, 0.3 + bow * 1.5),
        eye.at(1.0, 0.25 if bow < 0 else 0.05),
        12,
    )
    canvas.fill(taper(arc, 2.2), eye.line, alpha)


def _open(canvas: Canvas, eye: Eye, colour: Colour) -> None:
    upper = eye.upper()
    white = upper + eye.lower()
    canvas.fill(white, (252, 252, 255))
    with canvas.clip(white):
        _iris(canvas, eye, colour)
        shade = upper + [(x, y + 2.4) for x, y in reversed(upper)]
        canvas.fill(shade, mix(_SCLERA_SHADE, colour, 0.25), 0.55)
    lower = eye.lower()[2:18]
    canvas.fill(taper(lower, 0.9), mix(eye.line, eye.head.design.skin.line, 0.35))
    crease = [(x, y - 2.3 - eye.height * 0.05) for x, y in upper[4:18]]
    canvas.fill(taper(crease, 0.8), eye.head.design.skin.line, 0.75)


def draw_eyes(canvas: Canvas, head: Head) -> None:
    """Both eyes with their lids."""
    for side, name in zip((-1, 1), head.design.eyes, strict=True):
        eye = Eye(head, side)
        if not eye.shut():
            _open(canvas, eye, EYE_COLOURS[name])
    draw_lids(canvas, head)
