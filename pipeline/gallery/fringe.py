"""Outline of the front hair: dome, side locks and fringe as one silhouette."""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

from pipeline.gallery.curves import Path, Point, locks, quad, smooth
from pipeline.gallery.head import Head

_DOME: tuple[Point, ...] = ((41, 5), (41.8, -10), (38.6, -27), (30, -42), (16.5, -50.5))
_SPAN = 29.0


@dataclass(frozen=True)
class Front:
    """The silhouette, the points between locks (valleys), their tips, and the crown."""

    outline: Path
    valleys: tuple[Point, ...]
    tips: tuple[Point, ...]
    crown: Point


def _dome(head: Head) -> Path:
    """Smooth outer edge from the right temple over the crown to the left temple."""
    volume = head.design.volume
    right = [(x * volume, y if y > 0 else y * volume) for x, y in _DOME]
    left = [(-x, y) for x, y in reversed(right)]
    return smooth([*right, (0, -53 * volume), *left], steps=5)


def _add_tufts(edge: Path, rng: Random) -> Path:
    """The dome with spikes that point outward and down."""
    half = len(edge) // 2
    sides = (edge[: half + 1][::-1], edge[half:])
    done: list[Path] = []
    for side in sides:
        path = [side[0]]
        index = 0
        while index < len(side) - 1:
            after = min(len(side) - 1, index + rng.randint(4, 8))
            here, there = side[index], side[after]
            away = 1 if there[0] > 0 else -1
            size = rng.uniform(0.7, 1.6) if there[1] > -44 else 0.2
            tip = (there[0] + away * 3.2 * size, there[1] + 2.6 * size)
            bulge = ((here[0] + tip[0]) / 2 + away * 2.2, (here[1] + tip[1]) / 2 - 1.6)
            path += quad(here, bulge, tip, 5)
            path.append((there[0] - away * 0.6, there[1] - 0.8))
            index = after
        done.append(path)
    return done[0][::-1] + done[1]


def _divide_forehead(rng: Random, count: int) -> list[float]:
    """Borders of `count` locks of uneven width across the forehead."""
    shares = [rng.uniform(0.6, 1.4) for _ in range(count)]
    total = sum(shares)
    borders, x = [-_SPAN], -_SPAN
    for share in shares:
        x += 2 * _SPAN * share / total
        borders.append(x)
    return borders


def _make_blunt(head: Head, rng: Random) -> Path:
    borders = _divide_forehead(rng, rng.randint(8, 12))
    level = -2.5 + head.design.length * 2
    points: Path = []
    for left, right in pairwise(borders):
        middle = (left + right) / 2
        sag = (middle / _SPAN) ** 2 * 2.5
        points.append((middle + middle * 0.05, level + sag + rng.uniform(-1.0, 1.0)))
        points.append((right, level + sag - rng.choice((1.2, 2.0, 5.0, 9.0))))
    return points[:-1]


def _make_choppy(head: Head, rng: Random) -> Path:
    borders = _divide_forehead(rng, rng.randint(5, 8))
    lean = head.design.part * 3
    points: Path = []
    for left, right in pairwise(borders):
        middle = (left + right) / 2
        drop = rng.uniform(-6, 4) + abs(middle) / _SPAN * 4
        points.append((middle * 1.1 + lean + rng.uniform(-2, 2), drop))
        points.append((right + lean * 0.3, rng.uniform(-17, -10)))
    return points[:-1]


def _make_parted(head: Head, rng: Random) -> Path:
    part = head.design.part * 11
    high = rng.uniform(-34, -24)
    points: Path = []
    for side in (-1, 1):
        room = _SPAN - side * part
        count = 3 if room > 24 else 2
        wing: Path = []
        for index in range(count):
            near, far = index / count, (index + 1) / count
            wing.append((part + side * room * (far - 0.06), -13 + 17 * far + rng.uniform(-2, 2)))
            if index < count - 1:
                valley_y = high + (far + near) / 2 * 18 + 7
                wing.append((part + side * room * (far - 0.16), valley_y))
        points += wing[::-1] if side < 0 else [(part, high), *wing]
    return points


def _make_swept(head: Head, rng: Random) -> Path:
    side = 1 if head.design.part >= 0 else -1
    borders = _divide_forehead(rng, rng.randint(4, 6))
    points: Path = []
    for left, right in pairwise(borders):
        way = ((left + right) / 2 * side + _SPAN) / (2 * _SPAN)
        points.append(
            ((left + right) / 2 + side * (4.5 + 4 * way), -12 + 15 * way + rng.uniform(-2, 2))
        )
        points.append((right + side * 1.5, -25 + 13 * way + rng.uniform(-2, 2)))
    return points[:-1]


def _make_between_eyes(head: Head, rng: Random) -> Path:
    centre = head.design.part * 3
    low = rng.uniform(9, 17)
    points: Path = []
    for x in (-23.5, -12.5):
        points += [(x + centre * 0.5 - 1 + rng.uniform(-2, 2), rng.uniform(-6, 2))]
        points += [(x + 6 + centre * 0.5, rng.uniform(-18, -12))]
    points.append((centre + rng.uniform(-2.5, 2.5), low))
    for x in (12.5, 23.5):
        points += [(x - 6 + centre * 0.5, rng.uniform(-18, -12))]
        points += [(x + centre * 0.5 + 1 + rng.uniform(-2, 2), rng.uniform(-6, 2))]
    return points


def _make_wispy(head: Head, rng: Random) -> Path:
    borders = _divide_forehead(rng, rng.randint(4, 6))
    points: Path = []
    for left, right in pairwise(borders):
        lean = head.design.part * 5 + rng.uniform(-2, 2)
        points.append(((left + right) / 2 + lean, rng.uniform(-13, -4)))
        points.append((right, rng.uniform(-29, -22)))
    return points[:-1]


_FRINGES = {
    "blunt": _make_blunt,
    "choppy": _make_choppy,
    "parted": _make_parted,
    "swept": _make_swept,
    "between_eyes": _make_between_eyes,
    "wispy": _make_wispy,
}


def _side(head: Head, side: int, rng: Random) -> Path:
    """Tip(s) and inner valley of the hair beside the face, from outside inwards."""
    reach = head.design.length
    valley = (side * 30.5, rng.uniform(-11, -6))
    match head.design.sidelocks:
        case "short":
            return [(side * (35 + rng.uniform(-1, 2)), 23 + reach * 4), valley]
        case "long":
            return [(side * (36 + rng.uniform(-2, 2)), 43 + reach * 8), valley]
        case "double":
            outer = (side * 40, 33 + reach * 5 + rng.uniform(-3, 3))
            return [outer, (side * 35.5, 9), (side * 31.5, 21 + rng.uniform(-3, 4)), valley]
        case _:
            return [(side * (37 + rng.uniform(-0.5, 1)), 10 + rng.uniform(-2, 3)), valley]


def front(head: Head) -> Front:
    """The front hair of a head."""
    rng = Random(head.design.jitter ^ 0xF0)
    edge = _dome(head)
    outer = _add_tufts(edge, rng) if head.design.tufted else edge
    shift = head.turn * 3
    fringe = [(x + shift, y) for x, y in _FRINGES[head.design.fringe](head, rng)]
    left, right = _side(head, -1, rng), _side(head, 1, rng)
    knots = [outer[-1], *left, *fringe, *reversed(right), outer[0]]
    crown = (head.design.part * 7 - head.turn * 2, -50 * head.design.volume)
    return Front([*outer, *locks(knots)], tuple(knots[2:-2:2]), tuple(knots[1::2]), crown)
