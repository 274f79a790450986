"""Sheet of rejects: some of each reason."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from textwrap import wrap

from PIL import Image, ImageDraw

from pipeline.console import one_line
from pipeline.pictures.captions import (
    CAPTION,
    GAP,
    GREY,
    LARGE,
    RED,
    TILE,
    TITLE,
    add_caption,
    centre_in_tile,
    draw_text,
    fit_into_tile,
    make_sheet,
    make_text_sheet,
    paste_row,
    resize,
    scale_into_tile,
)
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.tables import Rejected, count_reasons

SHOWN = 8  # of each reason

LoadPicture = Callable[[int], Image.Image | None]
"""Loads the full picture of a manifest entry; None if it cannot be decoded."""

LoadAvatar = Callable[[int], Image.Image]
"""Loads an avatar by its number."""


def rejects_sheet(
    rejects: Sequence[Rejected], load_picture: LoadPicture, load_avatar: LoadAvatar
) -> Image.Image:
    """Draw some rejects of each reason, under its name and count, with their boxes.

    `rejects` in manifest order; only pictures and avatars on the sheet are loaded.
    """
    counts = count_reasons(rejects)
    if not counts:
        return make_text_sheet("nothing was rejected")
    samples = _sample_each_reason(rejects)
    line = TITLE + TILE + CAPTION + GAP
    sheet = make_sheet(SHOWN * (TILE + GAP) + GAP, len(counts) * line)
    for number, (reason, count) in enumerate(counts.items()):
        top = number * line
        draw_text(sheet, (GAP, top + GAP), f"{reason}: {count:,}", LARGE)
        tiles = (
            add_caption(_draw_tile(each, load_picture, load_avatar), f"row {each.entry}")
            for each in samples[reason]
        )
        paste_row(sheet, tiles, GAP, top + TITLE)
    return sheet


def _sample_each_reason(rejects: Sequence[Rejected]) -> dict[str, list[Rejected]]:
    by_reason: dict[str, list[Rejected]] = defaultdict(list)
    for each in rejects:
        by_reason[each.reject.reason].append(each)
    return {reason: _sample(group) for reason, group in by_reason.items()}


def _sample(rejects: Sequence[Rejected]) -> list[Rejected]:
    count = min(SHOWN, len(rejects))
    return [rejects[i * len(rejects) // count] for i in range(count)]


def _draw_tile(
    rejected: Rejected, load_picture: LoadPicture, load_avatar: LoadAvatar
) -> Image.Image:
    if rejected.avatar is not None:
        return fit_into_tile(load_avatar(rejected.avatar))
    image = load_picture(rejected.entry)
    if image is None:
        return _draw_detail(rejected.reject)
    return _draw_picture(image, rejected.reject.box)


def _draw_detail(reject: Reject) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), GREY)
    draw_text(tile, (GAP, GAP), "\n".join(wrap(one_line(reject.detail), 20)[:8]))
    return tile


def _draw_picture(image: Image.Image, box: Box | None) -> Image.Image:
    scale = scale_into_tile(image.size)
    tile, corner = centre_in_tile(resize(image, scale))
    if box is not None:
        _draw_box(tile, box, scale, corner)
    return tile


def _draw_box(tile: Image.Image, box: Box, scale: float, corner: tuple[int, int]) -> None:
    left, top = round(corner[0] + box.x * scale), round(corner[1] + box.y * scale)
    right, bottom = left + round(box.width * scale), top + round(box.height * scale)
    ImageDraw.Draw(tile).rectangle((left, top, right, bottom), outline=RED, width=2)
