"""Traits of a face: drawn at random from the seed alone, in a fixed order."""

from dataclasses import dataclass
from random import Random
from typing import TypeVar

from pipeline.gallery.palette import (
    ACCENTS,
    BACKDROPS,
    CLOTH,
    EYE_COLOURS,
    HAIR_COLOURS,
    SKINS,
    Colour,
    HairColour,
    Skin,
)

T = TypeVar("T")
Table = tuple[tuple[T, int], ...]

BACK_HAIR: Table[str] = (
    ("short", 16),
    ("bob", 16),
    ("long", 18),
    ("wavy", 12),
    ("twintails", 13),
    ("ponytail", 8),
    ("side_ponytail", 7),
    ("buns", 6),
    ("braids", 6),
)
FRINGES: Table[str] = (
    ("blunt", 15),
    ("choppy", 22),
    ("parted", 16),
    ("swept", 18),
    ("between_eyes", 18),
    ("wispy", 11),
)
SIDELOCKS: Table[str] = (("none", 26), ("short", 32), ("long", 28), ("double", 14))
AHOGE: Table[str] = (("none", 70), ("single", 22), ("double", 8))
EXPRESSIONS: Table[str] = (("calm", 34), ("happy", 34), ("angry", 14), ("worried", 12), ("wow", 6))
MOUTHS: dict[str, Table[str]] = {
    "calm": (("line", 30), ("smile", 40), ("small", 20), ("cat", 10)),
    "happy": (("smile", 26), ("open", 44), ("fang", 14), ("cat", 16)),
    "angry": (("frown", 46), ("line", 16), ("fang", 22), ("open", 16)),
    "worried": (("frown", 40), ("wave", 24), ("small", 36)),
    "wow": (("round", 75), ("open", 25)),
}
LIDS: Table[str] = (("open", 84), ("half", 8), ("wink", 5), ("closed", 3))
PUPILS: Table[str] = (("round", 84), ("slit", 8), ("ring", 8))
BLUSHES: Table[str] = (("none", 30), ("soft", 40), ("hatch", 14), ("both", 16))
NOSES: Table[str] = (("dot", 40), ("hook", 40), ("shade", 20))
GLASSES: Table[str] = (("none", 84), ("round", 6), ("square", 6), ("half", 4))
HEADWEAR: Table[str] = (
    ("none", 44),
    ("ribbon", 10),
    ("hairband", 9),
    ("headphones", 5),
    ("cat_ears", 8),
    ("horns", 5),
    ("bow_band", 5),
    ("crown", 3),
    ("beret", 5),
    ("fox_ears", 6),
)
TALL = ("cat_ears", "fox_ears", "horns", "crown", "beret", "buns", "ponytail")
PINS: Table[str] = (("none", 62), ("bars", 12), ("cross", 8), ("flower", 12), ("star", 6))
OUTFITS: Table[str] = (
    ("sailor", 22),
    ("shirt", 20),
    ("hoodie", 16),
    ("turtleneck", 14),
    ("dress", 14),
    ("kimono", 8),
    ("choker", 6),
)
BACKDROP_KINDS: Table[str] = (
    ("gradient", 26),
    ("stripes", 12),
    ("rays", 10),
    ("bokeh", 14),
    ("clouds", 10),
    ("stars", 10),
    ("petals", 10),
    ("dots", 8),
    ("split", 8),
)
LIGHTS: Table[str] = (("none", 52), ("warm", 16), ("cool", 16), ("rose", 8), ("dusk", 8))


@dataclass(frozen=True)
class Pose:
    """Place of the head: x, y in units of 100, tilt in degrees, turn and nod from -1 to 1."""

    x: float
    y: float
    zoom: float
    tilt: float
    turn: float
    nod: float


@dataclass(frozen=True)
class EyeForm:
    """Half width and half height of an eye, slant (positive: outer corner up), iris share."""

    width: float
    height: float
    slant: float
    iris: float
    apart: float


@dataclass(frozen=True)
class Design:
    """All traits of one face; `jitter` seeds the small irregularities of every part."""

    hair: HairColour
    tips: HairColour | None
    back: str
    fringe: str
    tufted: bool
    volume: float
    length: float
    part: float
    sidelocks: str
    ahoge: str
    skin: Skin
    jaw: float
    eyes: tuple[str, str]
    eye_form: EyeForm
    lids: str
    pupil: str
    expression: str
    mouth: str
    mouth_width: float
    brow: float
    blush: str
    nose: str
    mark: str
    glasses: str
    headwear: str
    pin: str
    pin_side: int
    outfit: str
    cloth: Colour
    accent: Colour
    backdrop: str
    backdrop_colours: tuple[Colour, Colour]
    light: str
    light_side: int
    pose: Pose
    jitter: int


def _pick(rng: Random, table: Table[T]) -> T:
    target = rng.random() * sum(weight for _, weight in table)
    for value, weight in table:
        target -= weight
        if target < 0:
            return value
    return table[-1][0]


def _pose(rng: Random, tall: bool) -> Pose:
    """Place of the head; tall headwear or hair gets more room above."""
    return Pose(
        x=50 + rng.uniform(-6, 6),
        y=(59 if tall else 55.5) + rng.uniform(-5, 4),
        zoom=rng.uniform(0.84, 1.16) * (0.92 if tall else 1.0),
        tilt=rng.uniform(-5, 5) if rng.random() < 0.55 else rng.uniform(-14, 14),
        turn=rng.uniform(-1, 1),
        nod=rng.uniform(-1, 1),
    )


def _eye_form(rng: Random) -> EyeForm:
    return EyeForm(
        width=rng.uniform(9.0, 10.8),
        height=rng.uniform(9.6, 12.6),
        slant=rng.uniform(-2.4, 3.4),
        iris=rng.uniform(0.94, 1.08),
        apart=rng.uniform(15.2, 16.8),
    )


def _eyes(rng: Random) -> tuple[str, str]:
    names = tuple(EYE_COLOURS)
    first = rng.choice(names[:-1]) if rng.random() < 0.96 else names[-1]
    second = rng.choice(names[:-1]) if rng.random() < 0.05 else first
    return first, second


def _tips(rng: Random) -> HairColour | None:
    other = rng.choice(HAIR_COLOURS)
    return other if rng.random() < 0.16 else None


def design(seed: int) -> Design:
    """The traits of the face with this seed (0 or more; -n gives the face of n)."""
    rng = Random(seed)
    expression = _pick(rng, EXPRESSIONS)
    headwear, back = _pick(rng, HEADWEAR), _pick(rng, BACK_HAIR)
    return Design(
        hair=rng.choice(HAIR_COLOURS),
        tips=_tips(rng),
        back=back,
        fringe=_pick(rng, FRINGES),
        tufted=rng.random() < 0.5,
        volume=rng.uniform(0.97, 1.08),
        length=rng.uniform(-1, 1),
        part=rng.uniform(-1, 1),
        sidelocks=_pick(rng, SIDELOCKS),
        ahoge=_pick(rng, AHOGE),
        skin=rng.choice(SKINS[:4] if rng.random() < 0.78 else SKINS),
        jaw=rng.uniform(0, 1),
        eyes=_eyes(rng),
        eye_form=_eye_form(rng),
        lids=_pick(rng, LIDS),
        pupil=_pick(rng, PUPILS),
        expression=expression,
        mouth=_pick(rng, MOUTHS[expression]),
        mouth_width=rng.uniform(0.85, 1.25),
        brow=rng.uniform(0.6, 1.3),
        blush=_pick(rng, BLUSHES),
        nose=_pick(rng, NOSES),
        mark=_pick(rng, (("none", 88), ("mole", 6), ("freckles", 6))),
        glasses=_pick(rng, GLASSES),
        headwear=headwear,
        pin=_pick(rng, PINS),
        pin_side=rng.choice((-1, 1)),
        outfit=_pick(rng, OUTFITS),
        cloth=rng.choice(CLOTH),
        accent=rng.choice(ACCENTS),
        backdrop=_pick(rng, BACKDROP_KINDS),
        backdrop_colours=rng.choice(BACKDROPS),
        light=_pick(rng, LIGHTS),
        light_side=rng.choice((-1, 1)),
        pose=_pose(rng, headwear in TALL or back in TALL),
        jitter=rng.getrandbits(32),
    )
