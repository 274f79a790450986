"""What was left out: a table of all, and a picture with some of each kind."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from pipeline.images.face_box import Box
from pipeline.images.face_rules import Reject

SHOWN = 8  # of each reason
TILE = 128  # pixels of a side
GAP = 4
TITLE, CAPTION = 22, 14  # heights of lines of text
GREY, INK, RED = (225, 225, 225), (40, 40, 40), (220, 30, 30)

Load = Callable[[int], Image.Image | None]
"""The full picture of a manifest row, None if there is none."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A picture or a face that was left out, and the manifest row and URL it is of."""

    row: int
    url: str
    reject: Reject


def count_reasons(rejects: Sequence[Rejected]) -> dict[str, int]:
    """How many were left out for which reason, most first."""
    counts = Counter(each.reject.reason for each in rejects)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rejects_table(rejects: Sequence[Rejected]) -> str:
    """One line each, tab-separated, under a line of names."""
    lines = [
        f"{each.row}\t{one_line(each.url)}\t{each.reject.reason}\t{one_line(each.reject.detail)}\n"
        for each in rejects
    ]
    return "row\turl\treason\tdetail\n" + "".join(lines)


def one_line(text: str) -> str:
    """Text that can stand in a line: spaces for ends of lines, escapes for lone surrogates."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def rejects_sheet(rejects: Sequence[Rejected], load: Load) -> Image.Image:
    """Some of each reason under its name and count, evenly from all, the box drawn on the picture.

    `rejects` in the order of the rows; `load` gets the row of what is shown.
    """
    counts = count_reasons(rejects)
    line = TITLE + TILE + CAPTION + GAP
    sheet = Image.new("RGB", (SHOWN * (TILE + GAP) + GAP, len(counts) * line or TITLE), "white")
    if not counts:
        _write(sheet, (GAP, GAP), "nothing was rejected", 14)
    for number, (reason, count) in enumerate(counts.items()):
        top = number * line
        _write(sheet, (GAP, top + GAP), f"{reason}: {count}", 14)
        for column, each in enumerate(_some([r for r in rejects if r.reject.reason == reason])):
            left = GAP + column * (TILE + GAP)
            sheet.paste(_tile(each, load(each.row)), (left, top + TITLE))
            _write(sheet, (left, top + TITLE + TILE), f"row {each.row}", 11)
    return sheet


def _some(rejects: Sequence[Rejected]) -> Iterator[Rejected]:
    shown = min(SHOWN, len(rejects))
    return (rejects[i * len(rejects) // shown] for i in range(shown))


def _tile(rejected: Rejected, image: Image.Image | None) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), GREY)
    if image is None:
        _write(tile, (GAP, GAP), "\n".join(wrap(one_line(rejected.reject.detail), 20)[:8]), 11)
        return tile
    width, height = image.size
    scale = TILE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    corner = (TILE - size[0]) // 2, (TILE - size[1]) // 2
    tile.paste(image.resize(size, Image.Resampling.LANCZOS), corner)
    if rejected.reject.box is not None:
        _outline(tile, rejected.reject.box, scale, corner)
    return tile


def _outline(tile: Image.Image, box: Box, scale: float, corner: tuple[int, int]) -> None:
    left, top = round(corner[0] + box.x * scale), round(corner[1] + box.y * scale)
    right, bottom = left + round(box.width * scale), top + round(box.height * scale)
    ImageDraw.Draw(tile).rectangle((left, top, right, bottom), outline=RED, width=2)


def _write(image: Image.Image, place: tuple[int, int], text: str, size: int) -> None:
    plain = text.encode("ascii", "replace").decode()
    ImageDraw.Draw(image).text(place, plain, fill=INK, font=ImageFont.load_default(size))
