"""Booru-style tags of a design."""

from pipeline.gallery.design import Design

_BACK = {
    "short": ("short_hair",),
    "bob": ("short_hair", "bob_cut"),
    "long": ("long_hair", "straight_hair"),
    "wavy": ("long_hair", "wavy_hair"),
    "twintails": ("long_hair", "twintails"),
    "ponytail": ("long_hair", "ponytail"),
    "side_ponytail": ("long_hair", "side_ponytail"),
    "buns": ("hair_bun", "double_bun"),
    "braids": ("long_hair", "twin_braids"),
}
_FRINGE = {
    "blunt": "blunt_bangs",
    "choppy": "bangs",
    "parted": "parted_bangs",
    "swept": "swept_bangs",
    "between_eyes": "hair_between_eyes",
    "wispy": "forehead",
}
_LIDS = {"half": "half-closed_eyes", "wink": "one_eye_closed", "closed": "closed_eyes"}
_PUPIL = {"slit": "slit_pupils", "ring": "ringed_eyes"}
_PIN = {
    "bars": "hairclip",
    "cross": "hairclip",
    "flower": "hair_flower",
    "star": "star_hair_ornament",
}
# Traits that are not here are tags themselves.
_MOUTH = {
    "open": "open_mouth",
    "round": "open_mouth",
    "cat": ":3",
    "wave": "wavy_mouth",
    "line": "closed_mouth",
    "small": "closed_mouth",
}
_HEADWEAR = {"ribbon": "hair_ribbon", "bow_band": "hairband"}
_OUTFIT = {"sailor": "sailor_collar", "shirt": "necktie", "dress": "frills"}
_BACKDROP = {
    "gradient": "gradient_background",
    "stripes": "striped_background",
    "rays": "sunburst_background",
    "clouds": "cloud",
    "stars": "starry_background",
    "dots": "polka_dot_background",
    "split": "two-tone_background",
}


def _eye_tags(design: Design) -> list[str]:
    if design.lids == "closed":
        return []
    tags = list(dict.fromkeys(design.eyes))
    return [*tags, "heterochromia"] if len(tags) > 1 else tags


def _optional(design: Design) -> list[str | None]:
    return [
        {"calm": None, "wow": "surprised"}.get(design.expression, design.expression),
        _LIDS.get(design.lids),
        None if design.lids == "closed" else _PUPIL.get(design.pupil),
        _HEADWEAR.get(design.headwear, design.headwear) if design.headwear != "none" else None,
        _PIN.get(design.pin),
        "glasses" if design.glasses != "none" else None,
        "blush" if design.blush != "none" else None,
        "ahoge" if design.ahoge != "none" else None,
        "sidelocks" if design.sidelocks in ("long", "double") else None,
        "multicolored_hair" if design.tips else None,
        "mole" if design.mark == "mole" else None,
        "freckles" if design.mark == "freckles" else None,
        design.skin.tag or None,
    ]


def appearance_tags(design: Design) -> list[str]:
    """Tags of one character: hair, eyes, mouth, clothes."""
    tags = [design.hair.tag, *_BACK[design.back]]
    tags += [_FRINGE[design.fringe], *_eye_tags(design), _MOUTH.get(design.mouth, design.mouth)]
    tags += [tag for tag in _optional(design) if tag is not None]
    return [*tags, _OUTFIT.get(design.outfit, design.outfit)]


def tags_of(design: Design) -> list[str]:
    """Tags without repeats, in a fixed order: person, hair, eyes, mouth, clothes, background."""
    backdrop = _BACKDROP.get(design.backdrop, design.backdrop)
    return list(dict.fromkeys(["1girl", "solo", "portrait", *appearance_tags(design), backdrop]))
