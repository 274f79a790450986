"""Drawing of hair: gradient, strands, shade, ring of light, tips of another colour, ahoge."""

from random import Random

from pipeline.gallery.back_hair import Mass
from pipeline.gallery.canvas import Canvas, Stops
from pipeline.gallery.curves import Path, oval, quad, smooth, taper
from pipeline.gallery.fringe import Front
from pipeline.gallery.head import Head
from pipeline.gallery.palette import WHITE, Colour, mix

_LONG = ("long", "wavy", "twintails", "ponytail", "side_ponytail", "braids")


def _front_stops(head: Head) -> Stops:
    hair, tips = head.design.hair, head.design.tips
    top = ((-54.0, mix(hair.base, hair.shine, 0.16)), (-22.0, hair.base))
    if tips is None:
        return (*top, (22.0, mix(hair.base, hair.shade, 0.4)))
    return (*top, (-10.0, hair.base), (16.0, tips.base))


def _back_stops(head: Head) -> Stops:
    hair, tips = head.design.hair, head.design.tips
    deep = mix(hair.base, hair.shade, 0.75)
    if tips is None:
        return ((-50.0, hair.base), (0.0, deep), (50.0, mix(hair.base, hair.shade, 0.45)))
    start = 10.0 if head.design.back in _LONG else 0.0
    return ((-50.0, hair.base), (start, deep), (start + 34, mix(tips.base, tips.shade, 0.4)))


def draw_back(canvas: Canvas, head: Head, shapes: tuple[Path, ...]) -> None:
    """Draw hair behind the head or beside the neck: outlines first, so that locks join."""
    hair = head.design.hair
    rng = Random(head.design.jitter ^ 0x5B)
    for path in shapes:
        canvas.line(path, hair.line, 1.8, closed=True)
    stops = _back_stops(head)
    for path in shapes:
        canvas.grade(path, stops)
    lines = 3 if len(shapes) == 1 else 1
    for path in shapes:
        for _ in range(lines):
            canvas.fill(taper(_flow(path, rng.uniform(0.12, 0.88)), 0.7), hair.line, 0.7)


def _flow(path: Path, share: float) -> Path:
    """A line down the middle of a shape, between its two sides."""
    half = len(path) // 2
    rows = [0.3, 0.45, 0.6, 0.75, 0.9]
    line = []
    for row in rows:
        right, left = path[int(half * row)], path[-1 - int(half * row)]
        line.append(
            (right[0] + (left[0] - right[0]) * share, right[1] + (left[1] - right[1]) * share)
        )
    return smooth(line, steps=4)


def draw_beads(canvas: Canvas, head: Head, mass: Mass) -> None:
    """Draw braids, each bead with its own outline."""
    hair = head.design.hair
    for path in mass.beside:
        canvas.grade(path, _back_stops(head), hair.line, 0.8)
        x = sum(point[0] for point in path) / len(path)
        y = path[0][1]
        canvas.fill(
            taper(quad((x - 2.4, y + 1), (x, y + 2), (x + 1.2, y + 5), 5), 0.6), hair.line, 0.6
        )


def _strand(front: Front, x: float, y: float, reach: float) -> Path:
    """From a point of the lower edge up along the dome towards the crown."""
    crown = front.crown
    end = (x + (crown[0] - x) * reach, y + (crown[1] - y) * reach)
    bend = (x * 1.06 + (x - crown[0]) * 0.1 * reach, y + (crown[1] - y) * reach * 0.6)
    return quad((x, y), bend, end, 8)


def _shade_strands(canvas: Canvas, head: Head, front: Front, rng: Random) -> None:
    hair = head.design.hair
    light = mix(hair.base, hair.shine, 0.35)
    for x, y in front.valleys:
        canvas.fill(
            taper(_strand(front, x, y + 1, rng.uniform(0.45, 0.75)), rng.uniform(2.5, 5), "fade"),
            hair.shade,
            0.75,
        )
    for x, y in front.tips:
        start = (x + rng.uniform(-2, 2), y - rng.uniform(3, 7))
        canvas.fill(
            taper(_strand(front, *start, rng.uniform(0.3, 0.6)), rng.uniform(1.2, 2.6)),
            light,
            0.55,
        )
    for x, y in front.valleys:
        canvas.fill(
            taper(_strand(front, x, y, rng.uniform(0.55, 0.92)), 1.0, "fade"), hair.line, 0.9
        )
    for _ in range(5):
        side = rng.uniform(-26, 26)
        canvas.fill(taper(_strand(front, side, rng.uniform(-26, -14), 0.85), 0.6), hair.line, 0.55)


def _ring(canvas: Canvas, head: Head, rng: Random) -> None:
    """The ring of light: a bent band with teeth up and down, in two or three pieces."""
    shine = head.design.hair.shine
    level = -33 + rng.uniform(-3, 2)
    shift = -head.design.light_side * 3 + head.turn * 2
    reach = rng.uniform(17, 29)
    left = -reach
    while left < reach - 4:
        right = min(reach, left + rng.uniform(8, 26))
        _band(canvas, left + shift, right + shift, level, rng, shine)
        if rng.random() < 0.35:
            _band(canvas, left * 0.6 + shift, right * 0.5 + shift, level - 8.5, rng, shine)
        left = right + rng.uniform(1.5, 4)


def _band(
    canvas: Canvas, left: float, right: float, level: float, rng: Random, shine: Colour
) -> None:
    count = max(2, int(abs(right - left) / 3.2))
    upper: Path = []
    lower: Path = []
    for index in range(count + 1):
        x = left + (right - left) * index / count
        y = level + x * x * 0.017
        end = index in (0, count)
        high = 0.0 if end else rng.uniform(0.8, 2.2) + (1.8 if index % 2 else 0)
        low = 0.4 if end else rng.uniform(0.8, 2.0) + (0 if index % 2 else 3.4)
        upper.append((x, y - high))
        lower.append((x, y + low))
    canvas.fill(upper + lower[::-1], shine, 0.72)


def draw_under(canvas: Canvas, head: Head, front: Front) -> None:
    """Draw thin shaded locks that hang out from under the fringe."""
    hair = head.design.hair
    rng = Random(head.design.jitter ^ 0x5D)
    deep = mix(hair.base, hair.shade, 0.7)
    for x, y in front.valleys:
        if rng.random() < 0.55 and abs(x) < 27:
            tip = (x * 1.04 + rng.uniform(-2, 2), min(y + rng.uniform(5, 10), 2.0))
            canvas.shape([(x - 2.4, y - 5), tip, (x + 2.4, y - 5)], deep, hair.line, 0.7)


def draw_front(canvas: Canvas, head: Head, front: Front) -> None:
    """Draw the front hair with its light and shade."""
    hair = head.design.hair
    rng = Random(head.design.jitter ^ 0x5A)
    side = head.design.light_side
    canvas.grade(front.outline, _front_stops(head))
    with canvas.clip(front.outline):
        canvas.glow(side * 44, -8, 26, 50, hair.shade, 0.8)
        canvas.glow(-side * 14, -44, 30, 20, mix(hair.base, hair.shine, 0.6), 0.7)
        _shade_strands(canvas, head, front, rng)
        _ring(canvas, head, rng)
    canvas.line(front.outline, hair.line, 0.95, closed=True)


def draw_ahoge(canvas: Canvas, head: Head, front: Front) -> None:
    """Draw one or two stray locks that spring from the crown."""
    hair = head.design.hair
    count = {"none": 0, "single": 1, "double": 2}[head.design.ahoge]
    rng = Random(head.design.jitter ^ 0xA0)
    x, y = front.crown
    for index in range(count):
        side = head.design.pin_side * (1 if index == 0 else -1)
        reach, rise = rng.uniform(9, 17), rng.uniform(4, 9)
        knots: Path = [(x, y + 4), (x + side * 1.5, y - rise * 0.7)]
        knots += [(x + side * reach * 0.5, y - rise), (x + side * reach, y - rise * 0.35)]
        colour = mix(hair.base, hair.shine, 0.15)
        canvas.shape(taper(smooth(knots, steps=6), 5.0, "fade"), colour, hair.line, 0.9)
        canvas.fill(oval(x - side * 0.2, y + 5, 2.9, 2.4, steps=14), colour)


def draw_tie(canvas: Canvas, x: float, y: float, colour: Colour) -> None:
    """Draw a scrunchie where hair is tied."""
    line = mix(colour, (30, 16, 30), 0.6)
    canvas.shape(oval(x, y, 3.8, 4.8), colour, line, 0.8)
    canvas.fill(oval(x - 1, y - 1.6, 1.2, 1.4, steps=12), mix(colour, WHITE, 0.5))
