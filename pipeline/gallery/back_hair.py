"""Outline of the hair behind the head, and of tails, buns and braids."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pipeline.gallery.curves import Path, Point, locks, oval, smooth, taper
from pipeline.gallery.head import Head


@dataclass(frozen=True)
class Mass:
    """Shapes behind neck and body, shapes in front of the body, and where hair is tied."""

    behind: tuple[Path, ...]
    beside: tuple[Path, ...] = ()
    ties: tuple[Point, ...] = ()


def _sheet(half: Path, bottom: Path) -> Path:
    """Symmetric hair: `half` runs down the right side, `bottom` holds tips and valleys below."""
    right = smooth(half, steps=5)
    left = [(-x, y) for x, y in reversed(right)]
    return [*right, *locks([right[-1], *bottom, left[0]]), *left]


def _hem(rng: Random, half: float, level: float, drop: float, count: int) -> Path:
    """Tips and valleys along a lower edge, from right to left."""
    points: Path = []
    for index in range(count):
        x = half - 2 * half * (index + 0.5) / count
        points.append((x + rng.uniform(-2, 2), level + drop * rng.uniform(0.7, 1.2)))
        points.append((half - 2 * half * (index + 1) / count, level + rng.uniform(-2, 2)))
    return points[:-1]


def _scalp(volume: float) -> Path:
    """Hair that is pulled together: it ends at the ears."""
    return oval(0, -12, 40.5 * volume, 39 * volume)


def _short(head: Head, rng: Random) -> Mass:
    wide = 40.5 * head.design.volume
    half = [(10.0, -48.0), (wide, -16), (wide - 1, 8), (wide - 5.5, 18)]
    return Mass((_sheet(half, _hem(rng, 32, 21, 7 + head.design.length * 2, 6)),))


def _bob(head: Head, rng: Random) -> Mass:
    wide = 42 * head.design.volume
    low = 31 + head.design.length * 5
    flare = rng.uniform(0, 5)
    half = [
        (10.0, -48.0),
        (wide - 1, -18),
        (wide + 1, 8),
        (wide + flare, low - 8),
        (wide - 1 + flare, low),
    ]
    return Mass((_sheet(half, _hem(rng, wide - 4, low - 1, 6, 6)),))


def _long(head: Head, rng: Random) -> Mass:
    wide = 42 * head.design.volume
    low = 56 + head.design.length * 12
    flare = rng.uniform(0, 7)
    half = [(10.0, -48.0), (wide, -18), (wide + 1, 12), (wide + flare, low)]
    return Mass((_sheet(half, _hem(rng, wide + flare - 3, low, 9, 7)),))


def _wavy(head: Head, rng: Random) -> Mass:
    wide = 42 * head.design.volume
    swing = rng.uniform(2.2, 3.6)
    half: Path = [(10.0, -48.0), (wide, -18)]
    for index in range(6):
        half.append(
            (wide + 2 + index * 0.7 + (swing if index % 2 else -swing * 0.6), -2 + index * 13.0)
        )
    return Mass((_sheet(half, _hem(rng, wide, 64, 9, 6)),))


def _tail(knots: Path, width: float, rng: Random) -> tuple[Path, ...]:
    """A tail of three locks that start together and end apart."""
    shapes = []
    for spread, share in ((-1, 0.62), (1, 0.62), (0, 1.0)):
        last = len(knots) - 1
        path = [
            (
                x + spread * width * 0.34 * index / last,
                y + (rng.uniform(-5, 2) if index == last else 0),
            )
            for index, (x, y) in enumerate(knots)
        ]
        shapes.append(taper(smooth(path, steps=6), width * share, "leaf"))
    return tuple(shapes)


def _twintails(head: Head, rng: Random) -> Mass:
    high = rng.random() < 0.65
    reach = 47 + head.design.length * 12
    width = rng.uniform(15, 21)
    behind: tuple[Path, ...] = (_scalp(head.design.volume),)
    ties: list[Point] = []
    for side in (-1, 1):
        root = (side * 36.0, -27.0) if high else (side * 38.0, 7.0)
        out = 55 if high else 47
        fall = reach + 10 - root[1]
        knots = [
            root,
            (side * (out - 5), root[1] + (-2 if high else 6)),
            (side * (out + 2), root[1] + fall * 0.35),
        ]
        knots += [(side * out, root[1] + fall * 0.7), (side * (out - 6), root[1] + fall)]
        behind += _tail(knots, width, rng)
        ties.append((root[0] + side * 3, root[1] + 0.5))
    return Mass(behind, (), tuple(ties))


def _ponytail(head: Head, rng: Random) -> Mass:
    side = head.design.pin_side
    width = rng.uniform(20, 26)
    knots: Path = [(side * 20.0, -45.0), (side * 37, -54), (side * 52, -38), (side * 56, -6)]
    knots += [(side * (53 - 6 * head.design.length), 40)]
    tails = _tail(knots, width, rng)
    return Mass((*tails, _scalp(head.design.volume)), (), ((side * 25.0, -49.0),))


def _side_ponytail(head: Head, rng: Random) -> Mass:
    side = head.design.pin_side
    root = (side * 38.0, 13.0)
    knots = [root, (side * 44, 22), (side * 47, 38), (side * (43 - rng.uniform(0, 6)), 70)]
    tail = _tail(knots, rng.uniform(17, 22), rng)
    short = _short(head, rng)
    return Mass(short.behind, tail, ((root[0] + side * 1.5, root[1] + 2),))


def _buns(head: Head, rng: Random) -> Mass:
    size = rng.uniform(11, 14.5)
    volume = head.design.volume
    balls = tuple(oval(side * 30 * volume, -43 * volume, size, size * 0.94) for side in (-1, 1))
    under = _short(head, rng).behind if rng.random() < 0.5 else (_scalp(volume),)
    return Mass((*balls, *under))


def _braids(head: Head, rng: Random) -> Mass:
    beads: list[Path] = []
    size = rng.uniform(7.5, 9.5)
    for side in (-1, 1):
        for index in range(8):
            x = side * (37 - 0.5 * index) + (1.2 if index % 2 else -1.2)
            y = 14 + index * size * 0.86
            bead = [
                (x - size * 0.62, y),
                (x, y - size * 0.3),
                (x + size * 0.62, y),
                (x + size * 0.42, y + size * 0.75),
            ]
            beads.append(
                smooth(
                    [*bead, (x, y + size * 1.05), (x - size * 0.42, y + size * 0.75)],
                    closed=True,
                    steps=4,
                )
            )
    return Mass(_short(head, rng).behind, tuple(beads))


_STYLES: dict[str, Callable[[Head, Random], Mass]] = {
    "short": _short,
    "bob": _bob,
    "long": _long,
    "wavy": _wavy,
    "twintails": _twintails,
    "ponytail": _ponytail,
    "side_ponytail": _side_ponytail,
    "buns": _buns,
    "braids": _braids,
}


def back_hair(head: Head) -> Mass:
    """The back hair of a head."""
    return _STYLES[head.design.back](head, Random(head.design.jitter ^ 0xBA))
