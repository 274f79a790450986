"""Sheet of the limits of `preprocess.filters`: avatars on both sides of each, and percentiles."""

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
    add_caption,
    draw_text,
    fit_into_tile,
    make_sheet,
    make_text_sheet,
    paste_row,
    text_width,
)

ACROSS = 14  # avatars at the limit: a sheet that fits a screen of 1,920 pixels
LEFT_OUT = 7  # of them on the left of the bar, at most
PERCENTILES = (0, 1, 2, 5, 10, 25, 50, 75, 90, 100)
BAR = 6  # width
LINE = TILE + CAPTION
BAND = 2 * (TITLE + LINE + GAP) + 2 * GAP  # height of a measure's part of the sheet
LEGEND = (
    "preprocess.filters of params.yaml. "
    "Left of the red bar: left out, next to the limit. Right of it: they pass."
)
ELSEWHERE = "a limit at the number below a picture leaves out this share of those too:"

LoadAvatar = Callable[[int], Image.Image]
"""Loads the avatar whose values have this index."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasureLimit:
    """A measure, its values (n,) of all avatars, NaN where not measured, and its limit.

    Values under the limit are left out if `below`, else those over it; equal ones are kept.
    """

    title: str
    values: NDArray[np.floating]
    limit: float
    below: bool


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Indices of the avatars on the sheet, and how many avatars there are.

    left_out, kept: the nearest to the limit, from worst to best;
    spread: percentile -> the kept avatar at this percentile of the kept ones, from the worst.
    """

    left_out: NDArray[np.int64]
    kept: NDArray[np.int64]
    spread: dict[int, int]
    total_left_out: int
    total: int


def pick_examples(values: NDArray[np.floating], limit: float, below: bool) -> Examples:
    """Pick avatars on both sides of `limit`; of equal values the first come first."""
    order = _worst_first(values, below)
    ordered = values[order]
    cut = int(np.count_nonzero(ordered < limit if below else ordered > limit))
    first = max(0, cut - LEFT_OUT)
    return Examples(
        left_out=order[first:cut],
        kept=order[cut : first + ACROSS],
        spread=_spread(order[cut:]),
        total_left_out=cut,
        total=len(order),
    )


def limits_sheet(limits: Sequence[MeasureLimit], load: LoadAvatar) -> Image.Image:
    """Draw two lines a measure: avatars at the limit, and over the range of the kept ones.

    Only avatars on the sheet are loaded.
    """
    if not limits:
        return make_text_sheet("no limits were measured")
    parts = [(each, pick_examples(each.values, each.limit, each.below)) for each in limits]
    texts = [LEGEND, *(_heading(*part) for part in parts)]
    tiles = ACROSS * (TILE + GAP) + BAR + GAP
    width = max(tiles, *(text_width(text, LARGE) + GAP for text in texts)) + GAP
    heights = [BAND if examples.total else TITLE for _, examples in parts]
    top = TITLE + 2 * GAP
    sheet = make_sheet(width, top + sum(heights))
    draw_text(sheet, (GAP, GAP), LEGEND, LARGE)
    for (limit, examples), height in zip(parts, heights, strict=True):
        draw_text(sheet, (GAP, top + GAP), _heading(limit, examples), LARGE)
        if examples.total:
            _draw_part(sheet, top + TITLE, limit, examples, load)
        top += height
    return sheet


def _worst_first(values: NDArray[np.floating], below: bool) -> NDArray[np.int64]:
    measured = np.flatnonzero(~np.isnan(values))
    badness = values[measured] if below else -values[measured]
    return measured[np.argsort(badness, kind="stable")]


def _spread(kept: NDArray[np.int64]) -> dict[int, int]:
    """Kept avatars by percentile; where there are few, each under its lowest percentile only."""
    first: dict[int, int] = {}
    for percentile in PERCENTILES if len(kept) else ():
        first.setdefault(int(kept[percentile * (len(kept) - 1) // 100]), percentile)
    return {percentile: index for index, percentile in first.items()}


def _heading(limit: MeasureLimit, examples: Examples) -> str:
    if not examples.total:
        return f"{limit.title}; not measured"
    counts = f"{examples.total_left_out:,} of {examples.total:,}"
    return f"{limit.title}; limit {_number(limit.limit)} leaves out {counts}"


def _draw_part(
    sheet: Image.Image, top: int, limit: MeasureLimit, examples: Examples, load: LoadAvatar
) -> None:
    def tiles(indices: NDArray[np.int64]) -> Iterator[Image.Image]:
        for index in indices.tolist():
            yield add_caption(fit_into_tile(load(index)), _number(limit.values[index]))

    bar = paste_row(sheet, tiles(examples.left_out), GAP, top)
    ImageDraw.Draw(sheet).rectangle((bar, top, bar + BAR - 1, top + LINE - 1), fill=RED)
    paste_row(sheet, tiles(examples.kept), bar + BAR + GAP, top)
    top += LINE
    draw_text(sheet, (GAP, top + GAP), ELSEWHERE if examples.spread else "none is kept")
    spread = (
        add_caption(fit_into_tile(load(index)), f"{percentile} %: {_number(limit.values[index])}")
        for percentile, index in examples.spread.items()
    )
    paste_row(sheet, spread, GAP, top + TITLE)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
