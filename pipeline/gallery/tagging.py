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
_MOUTH = {
    "open": "open_mouth",
    "fang": "fang",
    "round": "open_mouth",
    "cat": ":3",
    "wave": "wavy_mouth",
    "smile": "smile",
    "frown": "frown",
    "line": "closed_mouth",
    "small": "closed_mouth",
}
_EXPRESSION = {"happy": "happy", "angry": "angry", "worried": "worried", "wow": "surprised"}
_LIDS = {"half": "half-closed_eyes", "wink": "one_eye_closed", "closed": "closed_eyes"}
_PUPIL = {"slit": "slit_pupils", "ring": "ringed_eyes"}
_HEADWEAR = {
    "ribbon": "hair_ribbon",
    "bow_band": "hairband",
    "cat_ears": "cat_ears",
    "fox_ears": "fox_ears",
    "hairband": "hairband",
    "headphones": "headphones",
    "horns": "horns",
    "crown": "crown",
    "beret": "beret",
}
_PIN = {
    "bars": "hairclip",
    "cross": "hairclip",
    "flower": "hair_flower",
    "star": "star_hair_ornament",
}
_OUTFIT = {
    "sailor": "sailor_collar",
    "shirt": "necktie",
    "hoodie": "hoodie",
    "turtleneck": "turtleneck",
    "dress": "frills",
    "kimono": "kimono",
    "choker": "choker",
}
_BACKDROP = {
    "gradient": "gradient_background",
    "stripes": "striped_background",
    "rays": "sunburst_background",
    "bokeh": "bokeh",
    "clouds": "cloud",
    "stars": "starry_background",
    "petals": "petals",
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
        _EXPRESSION.get(design.expression),
        _LIDS.get(design.lids),
        None if design.lids == "closed" else _PUPIL.get(design.pupil),
        _HEADWEAR.get(design.headwear),
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
    tags += [_FRINGE[design.fringe], *_eye_tags(design), _MOUTH[design.mouth]]
    tags += [tag for tag in _optional(design) if tag is not None]
    return [*tags, _OUTFIT[design.outfit]]


def tags_of(design: Design) -> list[str]:
    """Tags without repeats, in a fixed order: person, hair, eyes, mouth, clothes, background."""
    tags = ["1girl", "solo", "portrait", *appearance_tags(design), backdrop_tag(design)]
    return list(dict.fromkeys(tags))


def backdrop_tag(design: Design) -> str:
    """The background of an avatar."""
    return _BACKDROP[design.backdrop]
