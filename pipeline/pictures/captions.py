"""Drawing of sheets for reports: tiles, captions below them, lines of text."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

TILE = 128  # pixels of a side
GAP = 4
TITLE, CAPTION = 22, 16  # heights of lines of text
LARGE, SMALL = 14, 12  # their fonts
GREY, INK, RED = (225, 225, 225), (40, 40, 40), (220, 30, 30)


class Line(NamedTuple):
    """Lines of text on a sheet, and below them tiles side by side; either may be missing."""

    text: str = ""
    tiles: Sequence[Image.Image] = ()

    @property
    def text_height(self) -> int:
        return TITLE * len(self.text.splitlines()) + GAP if self.text else 0


def draw_text(image: Image.Image, place: tuple[int, int], text: str, size: int = SMALL) -> None:
    """Draw `text` with its left upper corner at `place`; a ? for what isn't ASCII."""
    ImageDraw.Draw(image).text(place, _plain(text), fill=INK, font=_font(size))


def text_width(text: str, size: int = SMALL) -> int:
    """Pixels that the longest line of a text takes."""
    return max(int(_font(size).getlength(each)) + 1 for each in _plain(text).split("\n"))


def make_sheet(width: int, height: int) -> Image.Image:
    """A white sheet."""
    return Image.new("RGB", (width, height), "white")


def make_text_sheet(text: str) -> Image.Image:
    """A sheet of one line, where there is nothing to show."""
    sheet = make_sheet(text_width(text, LARGE) + 2 * GAP, TITLE)
    draw_text(sheet, (GAP, GAP), text, LARGE)
    return sheet


def draw_lines(lines: Sequence[Line]) -> Image.Image:
    """Draw lines below each other, on a sheet as wide as the widest."""
    if not any(line.tiles for line in lines):
        return make_text_sheet(lines[0].text)
    widths = [
        max(text_width(line.text, LARGE) + GAP, sum(tile.width + GAP for tile in line.tiles))
        for line in lines
    ]
    heights = [
        line.text_height + max((tile.height + GAP for tile in line.tiles), default=0)
        for line in lines
    ]
    sheet, top = make_sheet(max(widths) + GAP, sum(heights)), 0
    for line, height in zip(lines, heights, strict=True):
        for number, text in enumerate(line.text.splitlines()):
            draw_text(sheet, (GAP, top + GAP + number * TITLE), text, LARGE)
        left = GAP
        for tile in line.tiles:
            sheet.paste(tile, (left, top + line.text_height))
            left += tile.width + GAP
        top += height
    return sheet


def scale_into_tile(size: tuple[int, int]) -> float:
    """Scale at which a picture of `size` fits into a tile; a whole number where it is enlarged.

    Enlarging by whole numbers smooths nothing: a picture that looks blurred is blurred.
    """
    longer = max(size)
    return float(TILE // longer) if longer <= TILE else TILE / longer


def resize(image: Image.Image, scale: float) -> Image.Image:
    """Resize the picture by `scale`, to at least one pixel a side."""
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return image.resize(size, method)


def centre_in_tile(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """A tile with `image` in its middle, and the image's left upper corner in it."""
    tile = Image.new("RGB", (TILE, TILE), GREY)
    corner = (TILE - image.width) // 2, (TILE - image.height) // 2
    tile.paste(image, corner)
    return tile, corner


def fit_into_tile(image: Image.Image) -> Image.Image:
    """A tile that shows all of `image`."""
    return centre_in_tile(resize(image, scale_into_tile(image.size)))[0]


def add_caption(image: Image.Image, caption: str) -> Image.Image:
    """The picture with a line of text below it, cut off where it is wider."""
    tile = make_sheet(image.width, image.height + CAPTION)
    tile.paste(image)
    draw_text(tile, (0, image.height), caption)
    return tile


def _plain(text: str) -> str:
    return text.encode("ascii", "replace").decode()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
