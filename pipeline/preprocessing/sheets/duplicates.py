"""What was left out as a duplicate: a table of all, and a picture of the pairs to doubt."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.pictures.captions import (
    GAP,
    LARGE,
    TITLE,
    blank,
    captioned,
    note,
    paste_row,
    scale_into_tile,
    scaled,
    text_width,
    write,
)
from pipeline.preprocessing.sheets.rejects import one_line

SAME_FILE, SAME_PIXELS, NEAR = "same file", "same pixels", "near"
COLUMNS = ("kept_row", "row", "kept_url", "url", "kind", "dhash", "phash")
BORDER = 2
FRAME = (150, 150, 150)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """What was left out, and the one it is a duplicate of; distances only where it is near."""

    kept_row: int
    row: int
    kept_url: str
    url: str
    kind: str
    dhash: int | None = None
    phash: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two avatars of one picture, (S,S,3) uint8, and what stands below them."""

    kept: NDArray[np.uint8]
    dropped: NDArray[np.uint8]
    caption: str


def duplicates_table(duplicates: Iterable[Duplicate]) -> Iterator[str]:
    """One line each, tab-separated, under a line of names; by kept row, then by row."""
    yield "\t".join(COLUMNS) + "\n"
    for each in sorted(duplicates, key=attrgetter("kept_row", "row")):
        distances = ("" if d is None else str(d) for d in (each.dhash, each.phash))
        urls = one_line(each.kept_url), one_line(each.url)
        yield "\t".join((str(each.kept_row), str(each.row), *urls, each.kind, *distances)) + "\n"


def farthest(
    dhash: NDArray[np.integer], phash: NDArray[np.integer], count: int
) -> NDArray[np.int64]:
    """Indices of the `count` pairs that differ most: by dhash, then by phash, then the first."""
    order = np.lexsort((-phash.astype(np.int64), -dhash.astype(np.int64)))
    return order[:count].astype(np.int64)


def pairs_sheet(pairs: Sequence[Pair], columns: int, total: int) -> Image.Image:
    """Pairs side by side, the kept one on the left, `columns` of them to a row.

    `total` is how many near-duplicates there are, shown or not. Raises ValueError for no columns.
    """
    if columns < 1:
        raise ValueError(f"columns = {columns}: at least 1")
    if not pairs:
        return note("no near-duplicates were left out")
    tiles = [captioned(_side_by_side(pair), pair.caption) for pair in pairs]
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    title, width, height = _title(total), tiles[0].width + GAP, tiles[0].height + GAP
    across = max(len(rows[0]) * width + GAP, text_width(title, LARGE) + 2 * GAP)
    sheet = blank(across, TITLE + GAP + len(rows) * height)
    write(sheet, (GAP, GAP), title, LARGE)
    for number, row in enumerate(rows):
        paste_row(sheet, row, GAP, TITLE + GAP + number * height)
    return sheet


def _title(total: int) -> str:
    what = "near-duplicate" if total == 1 else "near-duplicates"
    shown = "the farthest pairs, kept on the left: Hamming distance of dhash / phash"
    return f"{total:,} {what}; {shown}"


def _side_by_side(pair: Pair) -> Image.Image:
    both = Image.fromarray(np.concatenate([pair.kept, pair.dropped], axis=1))
    side = len(pair.kept)
    return ImageOps.expand(scaled(both, scale_into_tile((side, side))), BORDER, FRAME)
