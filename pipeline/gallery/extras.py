"""Drawing of small things: hair pins and flowers, glasses, coloured light."""

import math

from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path, oval, quad, rotate, smooth
from pipeline.gallery.head import Head
from pipeline.gallery.palette import INK, WHITE, Colour, mix, pen

_LIGHTS: dict[str, Colour] = {
    "warm": (255, 172, 96),
    "cool": (110, 160, 255),
    "rose": (255, 120, 170),
    "dusk": (84, 60, 140),
}


def _flower(canvas: Canvas, x: float, y: float, colour: Colour) -> None:
    for index in range(5):
        angle = math.radians(72 * index - 90)
        petal = oval(x + 3.5 * math.cos(angle), y + 3.5 * math.sin(angle), 3.0, 3.0, steps=16)
        canvas.shape(petal, mix(colour, WHITE, 0.3), pen(colour), 0.6)
    canvas.shape(oval(x, y, 2.1, 2.1, steps=14), (250, 222, 110), (150, 100, 40), 0.5)


def _bars(canvas: Canvas, x: float, y: float, side: int, colour: Colour, cross: bool) -> None:
    for index, turn in enumerate((24.0, -28.0) if cross else (16.0, 16.0)):
        top = y + (0 if cross else index * 3.6)
        bar: Path = [
            (x - 5.5, top - 0.9),
            (x + 5.5, top - 0.9),
            (x + 5.5, top + 0.9),
            (x - 5.5, top + 0.9),
        ]
        canvas.shape(
            rotate(bar, (x, top), side * turn), mix(colour, WHITE, 0.12), pen(colour), 0.6
        )


def draw_pin(canvas: Canvas, head: Head) -> None:
    """Draw a pin, flower or star in the fringe above one temple."""
    design = head.design
    side = design.pin_side
    x, y = side * 26.5 + head.turn * 2, -18.0
    match design.pin:
        case "flower":
            _flower(canvas, side * 30, -24, design.accent)
        case "star":
            points = [
                (
                    x + radius * math.sin(math.radians(36 * index)),
                    y - radius * math.cos(math.radians(36 * index)),
                )
                for index, radius in enumerate((5.4, 2.5) * 5)
            ]
            canvas.shape(points, (252, 218, 84), (150, 96, 30), 0.7)
        case "bars" | "cross":
            _bars(canvas, x, y, side, design.accent, design.pin == "cross")
        case _:
            pass


def draw_glasses(canvas: Canvas, head: Head) -> None:
    """Draw glasses in front of the eyes."""
    design = head.design
    if design.glasses == "none":
        return
    colour = mix(design.accent, INK, 0.45)
    for side in (-1, 1):
        x, y = head.eye(side)
        wide, high = 12.2 * head.eye_scale(side), 10.8
        if design.glasses == "round":
            rim = oval(x, y + 1.5, wide, high + 1)
        else:
            box = [
                (x - wide, y - high + 2),
                (x + wide, y - high + 2),
                (x + wide * 0.9, y + high),
                (x - wide * 0.9, y + high),
            ]
            rim = smooth(
                [
                    *box[:2],
                    ((box[1][0] + box[2][0]) / 2 + 0.8, y + 2),
                    *box[2:],
                    ((box[0][0] + box[3][0]) / 2 - 0.8, y + 2),
                ],
                closed=True,
                steps=4,
            )
        canvas.fill(rim, WHITE, 0.1)
        glint = [
            (x - wide * 0.55, y - 5),
            (x - wide * 0.2, y - 6),
            (x - wide * 0.5, y + 5),
            (x - wide * 0.75, y + 4),
        ]
        canvas.fill(glint, WHITE, 0.35)
        if design.glasses == "half":
            rim = [point for point in rim if point[1] > y - 2]
        canvas.line(rim, colour, 1.1, closed=design.glasses != "half")
        canvas.line([(x + side * wide, y), (side * 36, y - 2.5)], colour, 1.1)
    left, right = head.eye(-1), head.eye(1)
    bridge = quad(
        (left[0] + 12 * head.eye_scale(-1), left[1]),
        ((left[0] + right[0]) / 2, left[1] - 3),
        (right[0] - 12 * head.eye_scale(1), right[1]),
    )
    canvas.line(bridge, colour, 1.1)


def cast_light(canvas: Canvas, head: Head) -> None:
    """Cast coloured light from one side over the whole picture."""
    canvas.stand()
    design = head.design
    if design.light != "none":
        canvas.glow(50 - design.light_side * 55, 20, 95, 95, _LIGHTS[design.light], 0.34)
