"""Sheet of the near-duplicates that differ most: the pairs to check by eye."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.pictures.captions import (
    GAP,
    LARGE,
    TITLE,
    add_caption,
    draw_text,
    make_sheet,
    make_text_sheet,
    paste_row,
    resize,
    scale_into_tile,
    text_width,
)

BORDER = 2
FRAME = (150, 150, 150)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two near-duplicate avatars, (S,S,3) uint8, and the caption below them."""

    kept: NDArray[np.uint8]
    dropped: NDArray[np.uint8]
    caption: str


def pick_farthest(
    dhash: NDArray[np.integer], phash: NDArray[np.integer], count: int
) -> NDArray[np.int64]:
    """Indices of the `count` pairs that differ most: by dhash, then by phash, then the first."""
    order = np.lexsort((-phash.astype(np.int64), -dhash.astype(np.int64)))
    return order[:count].astype(np.int64)


def pairs_sheet(pairs: Sequence[Pair], columns: int, total: int) -> Image.Image:
    """Draw pairs, the kept one on the left, in lines of `columns`.

    `total` is the number of near-duplicates, shown or not. Raises ValueError for no columns.
    """
    if columns < 1:
        raise ValueError(f"columns = {columns}: at least 1")
    if not pairs:
        return make_text_sheet("no near-duplicates were left out")
    tiles = [add_caption(_draw_pair(pair), pair.caption) for pair in pairs]
    lines = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    title, width, height = _title(total), tiles[0].width + GAP, tiles[0].height + GAP
    across = max(len(lines[0]) * width + GAP, text_width(title, LARGE) + 2 * GAP)
    sheet = make_sheet(across, TITLE + GAP + len(lines) * height)
    draw_text(sheet, (GAP, GAP), title, LARGE)
    for number, line in enumerate(lines):
        paste_row(sheet, line, GAP, TITLE + GAP + number * height)
    return sheet


def _title(total: int) -> str:
    noun = "near-duplicate" if total == 1 else "near-duplicates"
    legend = "the farthest pairs, kept on the left: Hamming distance of dhash / phash"
    return f"{total:,} {noun}; {legend}"


def _draw_pair(pair: Pair) -> Image.Image:
    both = Image.fromarray(np.concatenate([pair.kept, pair.dropped], axis=1))
    side = len(pair.kept)
    return ImageOps.expand(resize(both, scale_into_tile((side, side))), BORDER, FRAME)
