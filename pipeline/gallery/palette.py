"""Colours of the painted faces: named tables, and mixing."""

from dataclasses import dataclass

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (38, 24, 32)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Mix two colours; `share` (0 to 1) is that of `other`."""
    red, green, blue = (int(a + (b - a) * share + 0.5) for a, b in zip(one, other, strict=True))
    return (red, green, blue)


def pen(colour: Colour) -> Colour:
    """The colour of the outline of a shape in `colour`."""
    return mix(colour, INK, 0.62)


@dataclass(frozen=True)
class HairColour:
    """A hair colour: its tag, the colour itself, where it is in shade, where it shines."""

    tag: str
    base: Colour
    shade: Colour
    shine: Colour

    @property
    def line(self) -> Colour:
        return pen(self.shade)


@dataclass(frozen=True)
class Skin:
    """A skin: its own colour, shade and outline."""

    base: Colour
    shade: Colour
    line: Colour
    tag: str = ""


HAIR_COLOURS: tuple[HairColour, ...] = (
    HairColour("black_hair", (52, 47, 58), (28, 24, 36), (128, 124, 152)),
    HairColour("black_hair", (44, 50, 74), (24, 27, 46), (120, 138, 190)),
    HairColour("brown_hair", (98, 64, 48), (62, 37, 32), (190, 140, 106)),
    HairColour("brown_hair", (136, 88, 56), (92, 54, 40), (228, 180, 128)),
    HairColour("light_brown_hair", (178, 128, 88), (132, 86, 62), (246, 210, 164)),
    HairColour("blonde_hair", (246, 212, 112), (214, 158, 66), (255, 248, 206)),
    HairColour("blonde_hair", (248, 228, 168), (222, 184, 118), (255, 253, 232)),
    HairColour("orange_hair", (238, 138, 58), (196, 88, 44), (255, 212, 146)),
    HairColour("red_hair", (200, 56, 54), (138, 28, 48), (250, 152, 134)),
    HairColour("red_hair", (150, 42, 58), (98, 22, 46), (222, 122, 128)),
    HairColour("pink_hair", (248, 158, 190), (220, 104, 156), (255, 222, 236)),
    HairColour("pink_hair", (236, 98, 160), (186, 54, 126), (255, 188, 220)),
    HairColour("purple_hair", (146, 98, 198), (98, 58, 152), (216, 186, 250)),
    HairColour("purple_hair", (186, 164, 226), (140, 114, 190), (238, 228, 255)),
    HairColour("blue_hair", (62, 104, 198), (38, 62, 146), (156, 196, 255)),
    HairColour("blue_hair", (98, 162, 226), (58, 112, 186), (204, 234, 255)),
    HairColour("aqua_hair", (98, 210, 206), (50, 156, 166), (208, 255, 246)),
    HairColour("green_hair", (78, 158, 104), (42, 108, 82), (178, 230, 168)),
    HairColour("green_hair", (158, 214, 132), (104, 164, 96), (230, 252, 202)),
    HairColour("grey_hair", (158, 164, 180), (108, 114, 136), (232, 238, 248)),
    HairColour("white_hair", (236, 236, 244), (184, 188, 212), (255, 255, 255)),
    HairColour("silver_hair", (202, 210, 228), (150, 160, 190), (250, 252, 255)),
)

EYE_COLOURS: dict[str, Colour] = {
    "blue_eyes": (52, 118, 220),
    "aqua_eyes": (40, 186, 208),
    "green_eyes": (52, 164, 84),
    "yellow_eyes": (228, 184, 48),
    "orange_eyes": (228, 122, 44),
    "red_eyes": (212, 44, 56),
    "pink_eyes": (226, 84, 148),
    "purple_eyes": (140, 76, 206),
    "brown_eyes": (142, 86, 52),
    "grey_eyes": (118, 128, 148),
    "black_eyes": (62, 56, 74),
}

SKINS: tuple[Skin, ...] = (
    Skin((255, 236, 222), (246, 196, 180), (160, 88, 80)),
    Skin((255, 228, 208), (242, 184, 162), (152, 82, 68)),
    Skin((252, 220, 190), (232, 172, 138), (142, 76, 56)),
    Skin((255, 240, 236), (240, 204, 206), (150, 90, 100), "pale_skin"),
    Skin((226, 176, 138), (194, 130, 98), (108, 60, 46), "tan"),
    Skin((172, 116, 84), (134, 80, 62), (76, 40, 36), "dark_skin"),
)

CLOTH: tuple[Colour, ...] = (
    (52, 66, 118),
    (40, 44, 58),
    (176, 48, 62),
    (236, 236, 240),
    (92, 138, 98),
    (226, 168, 190),
    (112, 82, 148),
    (232, 196, 92),
    (86, 150, 196),
    (128, 92, 70),
)

ACCENTS: tuple[Colour, ...] = (
    (222, 48, 68),
    (62, 112, 212),
    (246, 200, 64),
    (242, 132, 178),
    (120, 82, 200),
    (70, 190, 130),
    (250, 250, 252),
    (52, 46, 62),
    (242, 138, 60),
)

BACKDROPS: tuple[tuple[Colour, Colour], ...] = (
    ((250, 250, 252), (222, 226, 236)),
    ((252, 240, 226), (240, 206, 190)),
    ((206, 228, 250), (138, 178, 232)),
    ((250, 214, 226), (232, 158, 190)),
    ((220, 244, 222), (152, 206, 168)),
    ((232, 220, 248), (172, 148, 222)),
    ((252, 240, 186), (240, 204, 122)),
    ((104, 190, 206), (54, 118, 160)),
    ((66, 78, 132), (32, 34, 72)),
    ((92, 62, 112), (44, 28, 64)),
    ((62, 98, 92), (28, 48, 58)),
    ((120, 66, 72), (62, 32, 48)),
    ((252, 178, 128), (206, 96, 130)),
    ((128, 134, 148), (82, 86, 102)),
    ((64, 60, 68), (30, 28, 36)),
    ((250, 250, 250), (250, 250, 250)),
)
