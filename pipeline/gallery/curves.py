"""Plane curves as lists of points: splines, ovals, tapered strokes."""

import math
from collections.abc import Sequence
from functools import lru_cache

Point = tuple[float, float]
Path = list[Point]


@lru_cache(maxsize=32)
def _catmull_weights(steps: int) -> tuple[tuple[float, float, float, float], ...]:
    weights = []
    for step in range(steps):
        t = step / steps
        t2, t3 = t * t, t * t * t
        weights.append(
            (
                (-t3 + 2 * t2 - t) / 2,
                (3 * t3 - 5 * t2 + 2) / 2,
                (-3 * t3 + 4 * t2 + t) / 2,
                (t3 - t2) / 2,
            )
        )
    return tuple(weights)


@lru_cache(maxsize=32)
def _quad_weights(steps: int) -> tuple[tuple[float, float, float], ...]:
    ts = [step / steps for step in range(steps + 1)]
    return tuple(((1 - t) * (1 - t), 2 * t * (1 - t), t * t) for t in ts)


@lru_cache(maxsize=256)
def _circle(steps: int, start: float, end: float) -> tuple[Point, ...]:
    angles = [start + (end - start) * step / steps for step in range(steps + 1)]
    return tuple((math.cos(angle), math.sin(angle)) for angle in angles)


def smooth(points: Sequence[Point], closed: bool = False, steps: int = 6) -> Path:
    """Catmull-Rom spline through the points; `steps` pieces between two of them."""
    count = len(points)
    if closed:
        padded = [points[-1], *points, points[0], points[1]]
        spans = count
    else:
        padded = [points[0], *points, points[-1]]
        spans = count - 1
    path: Path = []
    weights = _catmull_weights(steps)
    for span in range(spans):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = padded[span : span + 4]
        path += [
            (p * ax + q * bx + r * cx + s * dx, p * ay + q * by + r * cy + s * dy)
            for p, q, r, s in weights
        ]
    if not closed:
        path.append(points[-1])
    return path


def quad(start: Point, control: Point, end: Point, steps: int = 7) -> Path:
    """Quadratic Bezier curve, both ends included."""
    (ax, ay), (bx, by), (cx, cy) = start, control, end
    return [
        (p * ax + q * bx + r * cx, p * ay + q * by + r * cy) for p, q, r in _quad_weights(steps)
    ]


def oval(
    x: float,
    y: float,
    width: float,
    height: float,
    start: float = 0.0,
    end: float = 360.0,
    steps: int = 28,
) -> Path:
    """Arc of an ellipse with the given half axes; degrees clockwise from the right."""
    points = _circle(steps, math.radians(start), math.radians(end))
    return [(x + width * c, y + height * s) for c, s in points]


def rotate(path: Path, centre: Point, degrees: float) -> Path:
    """Rotate the path clockwise about a centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cx, cy = centre
    return [
        (cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos)
        for x, y in path
    ]


def mirror(path: Path) -> Path:
    """Reflect the path in the y axis."""
    return [(-x, y) for x, y in path]


def translate(path: Path, dx: float, dy: float) -> Path:
    """Shift the path."""
    return [(x + dx, y + dy) for x, y in path]


def ribbon(path: Path, widths: Sequence[float]) -> Path:
    """Polygon around a centre line; `widths` are the full widths at its points."""
    left: Path = []
    right: Path = []
    last = len(path) - 1
    for index, (x, y) in enumerate(path):
        ax, ay = path[index - 1 if index else 0]
        bx, by = path[index + 1 if index < last else last]
        dx, dy = bx - ax, by - ay
        scale = widths[index] / 2 / (math.sqrt(dx * dx + dy * dy) or 1.0)
        left.append((x - dy * scale, y + dx * scale))
        right.append((x + dy * scale, y - dx * scale))
    return left + right[::-1]


@lru_cache(maxsize=256)
def _profile(count: int, kind: str) -> tuple[float, ...]:
    ts = [index / (count - 1) for index in range(count)]
    match kind:
        case "spindle":
            return tuple(math.sqrt(max(0.0, 4 * t * (1 - t))) for t in ts)
        case "fade":
            return tuple(1 - t * t for t in ts)
        case _:
            return tuple((0.75 + 1.1 * t) * (1 - t**3) for t in ts)


def taper(path: Path, width: float, kind: str = "spindle") -> Path:
    """Stroke polygon: `spindle` is thin at both ends, `fade` at the last, `leaf` swells first."""
    return ribbon(path, [width * share for share in _profile(len(path), kind)])


def locks(points: Sequence[Point], steps: int = 5) -> Path:
    """Edge of hair through valley, tip, valley, tip, …: pointed locks, bellied outside."""
    path: Path = []
    for index in range(len(points) - 1):
        start, end = points[index], points[index + 1]
        valley, tip = (start, end) if index % 2 == 0 else (end, start)
        outward = 1 if tip[0] > 0 else -1
        across, down = (0.05, 0.66) if (valley[0] - tip[0]) * outward > 0 else (0.34, 0.5)
        control = (
            valley[0] + (tip[0] - valley[0]) * across,
            valley[1] + (tip[1] - valley[1]) * down,
        )
        path += quad(start, control, end, steps)
    return path
