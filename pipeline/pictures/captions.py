"""What the sheets of the reports are drawn with: tiles, captions below them, lines of text."""

from collections.abc import Iterable
from functools import cache

from PIL import Image, ImageDraw, ImageFont

TILE = 128  # pixels of a side
GAP = 4
TITLE, CAPTION = 22, 16  # heights of lines of text
LARGE, SMALL = 14, 12  # their fonts
GREY, INK, RED = (225, 225, 225), (40, 40, 40), (220, 30, 30)


def write(image: Image.Image, place: tuple[int, int], text: str, size: int = SMALL) -> None:
    """Write `text` with its left upper corner at `place`; a ? for what isn't ASCII."""
    ImageDraw.Draw(image).text(place, _plain(text), fill=INK, font=_font(size))


def text_width(text: str, size: int = SMALL) -> int:
    """Pixels that a line of text takes."""
    return int(_font(size).getlength(_plain(text))) + 1


def blank(width: int, height: int) -> Image.Image:
    """A white sheet."""
    return Image.new("RGB", (width, height), "white")


def note(text: str) -> Image.Image:
    """A sheet of one line, where there is nothing to show."""
    sheet = blank(text_width(text, LARGE) + 2 * GAP, TITLE)
    write(sheet, (GAP, GAP), text, LARGE)
    return sheet


def scale_into_tile(size: tuple[int, int]) -> float:
    """By how much a picture of `size` is scaled to fit a tile, whole factors where it fits as is.

    Nothing is smoothed by these, so that what looks blurred is blurred.
    """
    longer = max(size)
    return float(TILE // longer) if longer <= TILE else TILE / longer


def scaled(image: Image.Image, scale: float) -> Image.Image:
    """The picture in another size, at least one pixel a side."""
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return image.resize(size, method)


def centred(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """A tile with `image` in its middle, and the left upper corner of it."""
    tile = Image.new("RGB", (TILE, TILE), GREY)
    corner = (TILE - image.width) // 2, (TILE - image.height) // 2
    tile.paste(image, corner)
    return tile, corner


def whole_tile(image: Image.Image) -> Image.Image:
    """A tile that shows all of `image`."""
    return centred(scaled(image, scale_into_tile(image.size)))[0]


def captioned(image: Image.Image, caption: str) -> Image.Image:
    """The picture with a line below it, cut off where it is wider."""
    tile = blank(image.width, image.height + CAPTION)
    tile.paste(image)
    write(tile, (0, image.height), caption)
    return tile


def paste_row(sheet: Image.Image, tiles: Iterable[Image.Image], left: int, top: int) -> int:
    """Lay tiles side by side; returns where the next one would be."""
    for tile in tiles:
        sheet.paste(tile, (left, top))
        left += tile.width + GAP
    return left


def _plain(text: str) -> str:
    return text.encode("ascii", "replace").decode()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
