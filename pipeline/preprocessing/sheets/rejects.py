"""What was left out: a table of all, and a picture with some of each kind."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from PIL import Image, ImageDraw

from pipeline.pictures.captions import (
    CAPTION,
    GAP,
    GREY,
    LARGE,
    RED,
    TILE,
    TITLE,
    blank,
    captioned,
    centred,
    note,
    paste_row,
    scale_into_tile,
    scaled,
    whole_tile,
    write,
)
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.rules import Reject

SHOWN = 8  # of each reason

Load = Callable[[int], Image.Image | None]
"""The full picture of a manifest row, None if there is none."""

Avatars = Callable[[int], Image.Image]
"""An avatar by its number in the staged cache."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A picture or a face that was left out, and the manifest row and URL it is of.

    `avatar` is its number in the staged cache if it was left out for its looks.
    """

    row: int
    url: str
    reject: Reject
    avatar: int | None = None


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


def rejects_sheet(rejects: Sequence[Rejected], load: Load, avatars: Avatars) -> Image.Image:
    """Some of each reason under its name and count, evenly from all, the box drawn on the picture.

    `rejects` in the order of the rows; `load` and `avatars` are called for what is shown only.
    """
    counts = count_reasons(rejects)
    if not counts:
        return note("nothing was rejected")
    shown = _some_of_each(rejects)
    line = TITLE + TILE + CAPTION + GAP
    sheet = blank(SHOWN * (TILE + GAP) + GAP, len(counts) * line)
    for number, (reason, count) in enumerate(counts.items()):
        top = number * line
        write(sheet, (GAP, top + GAP), f"{reason}: {count:,}", LARGE)
        tiles = (
            captioned(_tile(each, load, avatars), f"row {each.row}") for each in shown[reason]
        )
        paste_row(sheet, tiles, GAP, top + TITLE)
    return sheet


def _some_of_each(rejects: Sequence[Rejected]) -> dict[str, list[Rejected]]:
    by_reason: dict[str, list[Rejected]] = defaultdict(list)
    for each in rejects:
        by_reason[each.reject.reason].append(each)
    return {reason: list(_some(group)) for reason, group in by_reason.items()}


def _some(rejects: Sequence[Rejected]) -> Iterator[Rejected]:
    shown = min(SHOWN, len(rejects))
    return (rejects[i * len(rejects) // shown] for i in range(shown))


def _tile(rejected: Rejected, load: Load, avatars: Avatars) -> Image.Image:
    if rejected.avatar is not None:
        return whole_tile(avatars(rejected.avatar))
    image = load(rejected.row)
    return _detail(rejected.reject) if image is None else _picture(image, rejected.reject.box)


def _detail(reject: Reject) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), GREY)
    write(tile, (GAP, GAP), "\n".join(wrap(one_line(reject.detail), 20)[:8]))
    return tile


def _picture(image: Image.Image, box: Box | None) -> Image.Image:
    scale = scale_into_tile(image.size)
    tile, corner = centred(scaled(image, scale))
    if box is not None:
        _outline(tile, box, scale, corner)
    return tile


def _outline(tile: Image.Image, box: Box, scale: float, corner: tuple[int, int]) -> None:
    left, top = round(corner[0] + box.x * scale), round(corner[1] + box.y * scale)
    right, bottom = left + round(box.width * scale), top + round(box.height * scale)
    ImageDraw.Draw(tile).rectangle((left, top, right, bottom), outline=RED, width=2)
