"""Where the limits of `preprocess.filters` cut: avatars on both sides of each, and further off."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.pictures.captions import (
    CAPTION,
    GAP,
    LARGE,
    RED,
    TILE,
    TITLE,
    blank,
    captioned,
    note,
    paste_row,
    text_width,
    whole_tile,
    write,
)

ACROSS = 14  # avatars at the limit: a sheet that fits a screen of 1,920 pixels
LEFT_OUT = 7  # of them on the left of the bar, at most
PERCENTILES = (0, 1, 2, 5, 10, 25, 50, 75, 90, 100)
BAR = 6  # width
ROW = TILE + CAPTION
BAND = 2 * (TITLE + ROW + GAP) + 2 * GAP
LEGEND = (
    "preprocess.filters of params.yaml. "
    "Left of the red bar: left out, next to the limit. Right of it: they pass."
)
ELSEWHERE = "a limit at the number below a picture leaves out this share of those too:"

Load = Callable[[int], Image.Image]
"""The picture whose values have this index."""


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A measure, its values (n,) of all avatars, NaN where not measured, and its limit.

    Values under the limit are left out if `below`, else those over it; equal ones are kept.
    """

    title: str
    values: NDArray[np.floating]
    limit: float
    below: bool


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Indices of the avatars to show, and how many there are.

    left_out, kept: the nearest to the limit, in one order from worst to best;
    spread: percentile -> the kept one that so many of the kept are worse than.
    """

    left_out: NDArray[np.int64]
    kept: NDArray[np.int64]
    spread: dict[int, int]
    total_left_out: int
    total: int


def choose(values: NDArray[np.floating], limit: float, below: bool) -> Choice:
    """Which avatars show where `limit` cuts; of equal values the first come first."""
    order = _worst_first(values, below)
    ordered = values[order]
    cut = int(np.count_nonzero(ordered < limit if below else ordered > limit))
    first = max(0, cut - LEFT_OUT)
    return Choice(
        left_out=order[first:cut],
        kept=order[cut : first + ACROSS],
        spread=_spread(order[cut:]),
        total_left_out=cut,
        total=len(order),
    )


def limits_sheet(bands: Sequence[Band], load: Load) -> Image.Image:
    """Two rows a measure: at the limit, and over the range of what is kept.

    `load` is called for what is shown only.
    """
    if not bands:
        return note("no limits were measured")
    chosen = [(band, choose(band.values, band.limit, band.below)) for band in bands]
    texts = [LEGEND, *(_heading(*each) for each in chosen)]
    tiles = ACROSS * (TILE + GAP) + BAR + GAP
    width = max(tiles, *(text_width(text, LARGE) + GAP for text in texts)) + GAP
    heights = [BAND if choice.total else TITLE for _, choice in chosen]
    top = TITLE + 2 * GAP
    sheet = blank(width, top + sum(heights))
    write(sheet, (GAP, GAP), LEGEND, LARGE)
    for (band, choice), height in zip(chosen, heights, strict=True):
        write(sheet, (GAP, top + GAP), _heading(band, choice), LARGE)
        if choice.total:
            _draw(sheet, top + TITLE, band, choice, load)
        top += height
    return sheet


def _worst_first(values: NDArray[np.floating], below: bool) -> NDArray[np.int64]:
    measured = np.flatnonzero(~np.isnan(values))
    badness = values[measured] if below else -values[measured]
    return measured[np.argsort(badness, kind="stable")]


def _spread(kept: NDArray[np.int64]) -> dict[int, int]:
    """By percentile; where few are kept, each is under the first that leads to it."""
    first: dict[int, int] = {}
    for percentile in PERCENTILES if len(kept) else ():
        first.setdefault(int(kept[percentile * (len(kept) - 1) // 100]), percentile)
    return {percentile: index for index, percentile in first.items()}


def _heading(band: Band, choice: Choice) -> str:
    if not choice.total:
        return f"{band.title}; not measured"
    counts = f"{choice.total_left_out:,} of {choice.total:,}"
    return f"{band.title}; limit {_number(band.limit)} leaves out {counts}"


def _draw(sheet: Image.Image, top: int, band: Band, choice: Choice, load: Load) -> None:
    def tiles(indices: NDArray[np.int64]) -> Iterator[Image.Image]:
        for index in indices.tolist():
            yield captioned(whole_tile(load(index)), _number(band.values[index]))

    bar = paste_row(sheet, tiles(choice.left_out), GAP, top)
    ImageDraw.Draw(sheet).rectangle((bar, top, bar + BAR - 1, top + ROW - 1), fill=RED)
    paste_row(sheet, tiles(choice.kept), bar + BAR + GAP, top)
    top += ROW
    write(sheet, (GAP, top + GAP), ELSEWHERE if choice.spread else "none is kept")
    spread = (
        captioned(whole_tile(load(index)), f"{percentile} %: {_number(band.values[index])}")
        for percentile, index in choice.spread.items()
    )
    paste_row(sheet, spread, GAP, top + TITLE)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
