"""Clothes below the collar: cuts and colours."""

from dataclasses import dataclass
from random import Random

from pipeline.gallery.design import Design
from pipeline.gallery.palette import CLOTH, INK, WHITE, Colour, mix

_LOWERS = {
    "sailor": ("pleats",),
    "shirt": ("pleats", "trousers", "plain"),
    "hoodie": ("pleats", "trousers", "plain"),
    "turtleneck": ("plain", "pleats", "trousers"),
    "dress": ("gown",),
    "kimono": ("wrap",),
    "choker": ("plain", "pleats"),
}


@dataclass(frozen=True)
class Clothes:
    """Colours and cuts below the collar."""

    upper: Colour
    lower: Colour
    cut: str
    sleeve: str
    socks: Colour | None


def _other(rng: Random, design: Design) -> Colour:
    """A colour for the lower half that goes with the upper one."""
    dark = mix(design.cloth, INK, 0.5)
    return rng.choice((dark, mix(design.accent, INK, 0.35), rng.choice(CLOTH), (62, 66, 88)))


def clothes_of(design: Design) -> Clothes:
    """The clothes of a design, except the collar."""
    rng = Random(design.jitter ^ 0xC1)
    matching = design.outfit in ("sailor", "dress", "kimono")
    sleeves = {
        "sailor": ("short", "long"),
        "dress": ("puff",),
        "kimono": ("wide",),
        "choker": ("short", "puff"),
    }
    return Clothes(
        upper=WHITE if design.outfit == "sailor" else design.cloth,
        lower=design.cloth if matching else _other(rng, design),
        cut=rng.choice(_LOWERS[design.outfit]),
        sleeve=rng.choice(sleeves.get(design.outfit, ("long",))),
        socks=rng.choice((None, WHITE, (52, 48, 62), design.cloth)),
    )


def seam(colour: Colour) -> Colour:
    return mix(colour, INK, 0.68)


def cloth_shade(colour: Colour) -> Colour:
    """The colour of cloth in shade."""
    return mix(colour, (70, 60, 120), 0.3)
