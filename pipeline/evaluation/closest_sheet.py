"""The picture of memorisation: the fakes nearest to training images, each beside its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gan.metrics.memorisation import Closest
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
    "Left: fake. Right: nearest training image. Number: its distance over that to the fifth "
    "nearest, 0 for a copy, near 1 for a new image."
)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """What was found, and both images, (H, W, 3) uint8; `real` as it lies in the cache."""

    closest: Closest
    fake: NDArray[np.uint8]
    real: NDArray[np.uint8]


def closest_sheet(pairs: Sequence[Pair], memory: Mapping[str, Any] | None) -> Image.Image:
    """The pairs in the given order under a line with share, p-value and verdict.

    memory: share, expected, p_value and suspicious as an evaluation's result has them, or None
    without the memorisation test. A training image is drawn mirrored if it is nearest mirrored.
    """
    if memory is None:
        return make_text_sheet("memorisation was not measured")
    tiles = [_tile(rank, pair) for rank, pair in enumerate(pairs, start=1)]
    lines = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    title = _title(memory)
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


def _title(memory: Mapping[str, Any]) -> str:
    verdict = "SUSPICIOUS, it may copy" if memory["suspicious"] else "no sign of copies"
    share, expected = (f"{100 * memory[name]:.2g} %" for name in ("share", "expected"))
    return (
        f"Memorisation: {share} of the fakes are that near, {expected} would be by chance, "
        f"p = {memory['p_value']:.2g}: {verdict}"
    )


def _tile(rank: int, pair: Pair) -> Image.Image:
    real = pair.real[:, ::-1] if pair.closest.mirrored else pair.real
    both = make_sheet(2 * TILE, TILE)
    for place, image in enumerate((pair.fake, real)):
        both.paste(fit_into_tile(Image.fromarray(image)), (place * TILE, 0))
    framed = ImageOps.expand(both, BORDER, FRAME)
    how = ", mirrored" if pair.closest.mirrored else ""
    return add_caption(framed, f"{rank}. {pair.closest.relative:.3f}, row {pair.closest.row}{how}")
