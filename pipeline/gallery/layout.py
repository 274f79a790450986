"""Layout of a page: its panels, their scenes, and the place of each character."""

from dataclasses import dataclass, replace
from random import Random

from pipeline.gallery.arms import HELD, Stance
from pipeline.gallery.curves import Path, Point, rotate
from pipeline.gallery.design import TALL, Design, Pose, design
from pipeline.gallery.head import NECK, Head

SCENES: tuple[tuple[str, int], ...] = (
    ("meadow", 10),
    ("sea", 8),
    ("town", 10),
    ("grove", 12),
    ("snow", 6),
    ("festival", 7),
    ("room", 14),
    ("library", 6),
    ("classroom", 8),
    ("stage", 7),
    ("card", 10),
    ("backdrop", 12),
)
CROWN, CHIN, HALF_HEAD = 54.0, 40.0, 44.0
_EARS = 77.0
_LAP = 155.0


@dataclass(frozen=True)
class Actor:
    """A character on a page: a design in its pose on this page, and the pose of its arms."""

    traits: Design
    stance: Stance


@dataclass(frozen=True)
class Panel:
    """A rectangle in units of 1/100 of the page's short side, its scene and its characters."""

    left: float
    top: float
    wide: float
    high: float
    scene: str
    actors: tuple[Actor, ...]
    jitter: int


@dataclass(frozen=True)
class Layout:
    """A page of `wide` x `high` units, the shorter side 100; the last actor stands in front."""

    wide: float
    high: float
    panels: tuple[Panel, ...]
    gutter: float

    @property
    def actors(self) -> tuple[Actor, ...]:
        return tuple(actor for panel in self.panels for actor in panel.actors)


def layout(seed: int) -> Layout:
    """The composition of the page with this seed; its first character is the avatar's."""
    rng = Random(seed ^ 0x9A6E0000)
    aspect = rng.uniform(1.26, 1.52)
    kind = _pick_weighted(rng, (("one", 70), ("two", 16), ("three", 5), ("comic", 9)))
    upright = kind != "three" and rng.random() < (0.45 if kind == "two" else 0.72)
    wide, high = (100.0, 100.0 * aspect) if upright else (100.0 * aspect, 100.0)
    cast = _cast(rng, seed)
    if kind == "comic":
        return Layout(wide, high, _comic(rng, cast, wide, high), 2.2)
    count = {"one": 1, "two": 2, "three": 3}[kind]
    return Layout(wide, high, (_panel(rng, cast[:count], 0, 0, wide, high),), 0.0)


def _pick_weighted(rng: Random, table: tuple[tuple[str, int], ...]) -> str:
    names, weights = zip(*table, strict=True)
    return str(rng.choices(names, weights)[0])


def _cast(rng: Random, seed: int) -> tuple[Design, ...]:
    return (design(seed), *(design(rng.getrandbits(31)) for _ in range(2)))


def _comic(rng: Random, cast: tuple[Design, ...], wide: float, high: float) -> tuple[Panel, ...]:
    """Two panels, one above the other or side by side, of unequal size."""
    share, gap, edge = rng.uniform(0.46, 0.54), 2.2, 2.6
    if high > wide:
        room = high - 2 * edge - gap
        spans = ((edge, room * share), (edge + gap + room * share, room * (1 - share)))
        return tuple(
            _panel(rng, cast[i : i + 1], edge, top, wide - 2 * edge, tall)
            for i, (top, tall) in enumerate(spans)
        )
    room = wide - 2 * edge - gap
    spans = ((edge, room * share), (edge + gap + room * share, room * (1 - share)))
    return tuple(
        _panel(rng, cast[i : i + 1], left, edge, span, high - 2 * edge)
        for i, (left, span) in enumerate(spans)
    )


def _panel(
    rng: Random, cast: tuple[Design, ...], left: float, top: float, wide: float, high: float
) -> Panel:
    scene = _pick_weighted(rng, SCENES)
    actors = _group(rng, cast, left, top, wide, high)
    return Panel(left, top, wide, high, scene, actors, rng.getrandbits(32))


def _group(
    rng: Random, cast: tuple[Design, ...], left: float, top: float, wide: float, high: float
) -> tuple[Actor, ...]:
    """Characters side by side with their faces free, the later ones a little lower."""
    count = len(cast)
    largest = {1: 0.58, 2: 0.46, 3: 0.41}[count]
    zoom = rng.uniform(0.37, 0.58 if count == 1 else largest)
    zoom = min(zoom, largest, high / 174, wide / (100 if count == 1 else 88 * count))
    gap = max(wide * 0.3, 96 * zoom) if count == 2 else wide * 0.31
    centre = left + wide * (0.5 + (rng.uniform(-0.14, 0.14) if count == 1 else 0))
    actors = []
    for index, traits in enumerate(cast):
        x = centre + (index - (count - 1) / 2) * gap + rng.uniform(-1.5, 1.5)
        x = min(max(x, left + 46 * zoom), left + wide - 46 * zoom)
        y = _level(rng, traits, zoom, top, high) + (index % 2) * rng.uniform(-3, 6) * (count > 1)
        side = 0 if count == 1 else (1 if index < (count - 1) / 2 else -1)
        pose = _pose(rng, x, y, zoom * (rng.uniform(0.95, 1) if count > 1 else 1), side)
        actors.append(
            Actor(replace(traits, pose=pose), _stance(rng, traits, count, (top + high - y) / zoom))
        )
    return tuple(sorted(actors, key=lambda actor: actor.traits.pose.y))


def _level(rng: Random, traits: Design, zoom: float, top: float, high: float) -> float:
    """Height of the eyes: the whole head and at least the bust are in the picture."""
    tall = traits.headwear in TALL or traits.back in TALL
    least = top + (_EARS if tall else CROWN) * zoom + 3
    most = top + high - (CHIN + 52) * zoom
    return min(least + high * rng.uniform(0.01, 0.2), max(least, most))


def _pose(rng: Random, x: float, y: float, zoom: float, side: int) -> Pose:
    """Upright or leaning a little; turned to its neighbour, if any (side 1: to the right)."""
    tilt = rng.uniform(-3, 3) if rng.random() < 0.5 else rng.uniform(-8, 8)
    turn = rng.uniform(-1, 1) if side == 0 else side * rng.uniform(-0.2, 0.9)
    return Pose(x, y, zoom, tilt, turn, rng.uniform(-1, 1))


def _stance(rng: Random, traits: Design, count: int, below: float) -> Stance:
    """Pose of the arms; things are held only if the picture reaches far enough below the eyes."""
    lean = rng.uniform(-4, 4)
    if count == 1 and below > _LAP and rng.random() < 0.3:
        return Stance("hold", "hold", rng.choice(HELD), lean)
    both = rng.choice(("down", "back", "front", "back"))
    if count > 1 or rng.random() < 0.4:
        return Stance(both, both, lean=lean)
    other = rng.choice(("hip", "chest", "wave", "wave", "hip"))
    arms = (both if both != "front" else "down", other)
    left, right = arms if traits.pin_side > 0 else arms[::-1]
    return Stance(left, right, lean=lean)


def on_page(pose: Pose, path: Path) -> Path:
    """Points of a head in the units of its page."""
    return [
        (pose.x + pose.zoom * x, pose.y + pose.zoom * y)
        for x, y in rotate(path, (0, NECK), pose.tilt)
    ]


def face_square(traits: Design) -> tuple[Point, float]:
    """Centre and side, in units of the page, of the square from the hairline to the chin."""
    (centre,) = on_page(traits.pose, [Head(traits).on_face(0, 8)])
    return centre, 64 * traits.pose.zoom
