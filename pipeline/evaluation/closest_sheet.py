"""Sheet of closest pairs: the fakes nearest to training images, each beside its nearest one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gan.metrics.memorisation import Closest, Memorisation
from pipeline.pictures.captions import (
    GAP,
    LARGE,
    TILE,
    TITLE,
    add_caption,
    draw_text,
    fit_into_tile,
    make_sheet,
    make_text_sheet,
    paste_row,
    text_width,
)

COLUMNS = 4
BORDER = 2
FRAME = (150, 150, 150)
LEGEND = (
    "Left: fake. Right: nearest training image. Number: distance to it / distance to the fifth "
    "nearest; 0 for a copy, near 1 for a new image. Index: in the training split."
)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A fake and its nearest training image, (H, W, 3) uint8; `real` is not mirrored yet."""

    closest: Closest
    fake: NDArray[np.uint8]
    real: NDArray[np.uint8]


def closest_sheet(pairs: Sequence[Pair], test: Memorisation | None) -> Image.Image:
    """Draw the pairs in the given order under a title with share, p-value and verdict.

    test: None without the memorisation test. A training image is drawn mirrored if it is nearest
    mirrored.
    """
    if test is None:
        return make_text_sheet("memorisation was not tested")
    tiles = [_tile(rank, pair) for rank, pair in enumerate(pairs, start=1)]
    lines = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    title = _title(test)
    widest = max(text_width(text, LARGE) for text in (title, LEGEND))
    across = max(min(len(tiles), COLUMNS) * (2 * (TILE + BORDER) + GAP), widest + GAP) + GAP
    top = 2 * TITLE + GAP
    sheet = make_sheet(across, top + sum(line[0].height + GAP for line in lines))
    draw_text(sheet, (GAP, GAP), title, LARGE)
    draw_text(sheet, (GAP, GAP + TITLE), LEGEND, LARGE)
    for line in lines:
        paste_row(sheet, line, GAP, top)
        top += line[0].height + GAP
    return sheet


def _title(test: Memorisation) -> str:
    verdict = "SUSPICIOUS, possibly copies" if test.suspicious else "no sign of copies"
    return (
        f"Memorisation: {100 * test.share:.2g} % of the fakes lie very close to a training image, "
        f"expected {100 * test.expected:.2g} %, p = {test.p_value:.2g}: {verdict}"
    )


def _tile(rank: int, pair: Pair) -> Image.Image:
    real = pair.real[:, ::-1] if pair.closest.mirrored else pair.real
    both = make_sheet(2 * TILE, TILE)
    for place, image in enumerate((pair.fake, real)):
        both.paste(fit_into_tile(Image.fromarray(image)), (place * TILE, 0))
    framed = ImageOps.expand(both, BORDER, FRAME)
    how = ", mirrored" if pair.closest.mirrored else ""
    return add_caption(
        framed, f"{rank}. {pair.closest.relative:.3f}, index {pair.closest.row}{how}"
    )
