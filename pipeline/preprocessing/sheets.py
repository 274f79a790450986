"""Sheets of preprocess for a look by eye: images, rejects, limits, near-duplicates, attributes.

They are drawn while every avatar is still in its slot.
"""

from collections.abc import Callable, Sequence
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from gan.attributes import NO_YES
from gan.params.data import FilterParams, PreprocessParams
from pipeline.console import one_line
from pipeline.dataset.attributes import count_labels, describe_pairs, find_pairs
from pipeline.number_ranges import evenly_spaced
from pipeline.pictures.captions import (
    CAPTION,
    GAP,
    GREY,
    RED,
    TILE,
    Line,
    add_caption,
    centre_in_tile,
    draw_lines,
    draw_text,
    fit_into_tile,
    resize,
    scale_into_tile,
)
from pipeline.pictures.contact_sheet import contact_sheet
from pipeline.preprocessing.decoding.decode import BadImageError, load_full, open_picture
from pipeline.preprocessing.filters import QUALITY_LIMITS, QualityLimit, check_quality_at_all
from pipeline.preprocessing.labels import AvatarLabels
from pipeline.preprocessing.outcome import Outcome, Rejected, count_reasons
from pipeline.preprocessing.workers.image_slots import StagedImages

COLUMNS = 8  # of the contact sheet, and as many rows
OF_EACH_REASON = 8
PAIRS, PAIRS_A_LINE = 60, 6
BORDER, FRAME = 2, (150, 150, 150)  # of a pair
AT_LIMIT = 14  # avatars: a sheet that fits a screen of 1,920 pixels
LEFT_OUT = 7  # of them on the left of the bar, at most
PERCENTILES = (0, 1, 2, 5, 10, 25, 50, 75, 90, 100)
BAR = 6  # width
OF_EACH_SIDE = 8  # images with an attribute, and as many without it
LEGEND = (
    "preprocess.filters of params.yaml. "
    "Left of the red bar: left out, next to the limit. Right of it: they pass."
)
ELSEWHERE = "a limit at the number below a picture leaves out this share of those too:"

Integers = NDArray[np.int64]
Load = Callable[[int], Image.Image]
"""Loads an avatar by its number, or the full picture by its number in the plan."""


def draw_sheets(
    outcome: Outcome,
    rejected: Sequence[Rejected],
    images: StagedImages,
    settings: PreprocessParams,
    attributes: AvatarLabels,
) -> dict[str, Image.Image]:
    """Draw the sheets, by name; `images` holds every avatar in its slot."""
    avatars, selection = outcome.decoded.avatars, outcome.selection

    def load_avatar(number: int) -> Image.Image:
        return Image.fromarray(images.read(int(avatars["slot"][number])))

    def load_picture(picture: int) -> Image.Image:
        with open_picture(outcome.plan.read(picture), settings) as image:
            return load_full(image, settings)

    kept = np.flatnonzero(selection.kept)
    sample = kept[evenly_spaced(len(kept), COLUMNS**2)]
    limits = list_limits(avatars, settings.filters, load_avatar)
    return {
        "contact_sheet": contact_sheet(
            np.stack([np.asarray(load_avatar(n)) for n in sample]), COLUMNS
        ),
        "rejects": draw_lines(list_rejects(rejected, load_picture, load_avatar)),
        "filters": draw_lines(limits),
        "duplicates": draw_lines(list_pairs(outcome, load_avatar)),
        "attributes": draw_lines(list_attributes(attributes, kept, load_avatar)),
    }


def list_rejects(
    rejected: Sequence[Rejected], load_picture: Load, load_avatar: Load
) -> list[Line]:
    """Some rejects of each reason, in manifest order, under its name and count."""
    lines = []
    for reason, count in count_reasons(rejected).items():
        alike = [each for each in rejected if each.reject.reason == reason]
        sample = [alike[i] for i in evenly_spaced(count, OF_EACH_REASON)]
        tiles = [
            add_caption(_draw_reject(each, load_picture, load_avatar), f"row {each.entry}")
            for each in sample
        ]
        lines.append(Line(f"{reason}: {count:,}", tiles))
    return lines or [Line("nothing was rejected")]


def _draw_reject(rejected: Rejected, load_picture: Load, load_avatar: Load) -> Image.Image:
    """A tile of the avatar, or of the picture with its box, or of the reason."""
    if rejected.avatar is not None:
        return fit_into_tile(load_avatar(rejected.avatar))
    try:
        image = load_picture(rejected.picture)
    except BadImageError:
        tile = Image.new("RGB", (TILE, TILE), GREY)
        words = wrap(one_line(rejected.reject.detail), 20)[:8]
        draw_text(tile, (GAP, GAP), "\n".join(words))
        return tile
    scale = scale_into_tile(image.size)
    tile, corner = centre_in_tile(resize(image, scale))
    box = rejected.reject.box
    if box is not None:
        left, top = round(corner[0] + box.x * scale), round(corner[1] + box.y * scale)
        right, bottom = left + round(box.width * scale), top + round(box.height * scale)
        ImageDraw.Draw(tile).rectangle((left, top, right, bottom), outline=RED, width=2)
    return tile


def list_limits(avatars: NDArray[np.void], filters: FilterParams, load: Load) -> list[Line]:
    """Two lines a measure: avatars on both sides of its limit, and over the range of the kept."""
    if not check_quality_at_all(filters):
        return [Line("no limits were measured")]
    lines = [Line(LEGEND)]
    for each in QUALITY_LIMITS:
        lines += list_examples(avatars[each.measure], each, each.value(filters), load)
    return lines


def list_examples(
    values: NDArray[np.floating], measure: QualityLimit, limit: float, load: Load
) -> list[Line]:
    """Lines of one measure; `values` of all avatars are NaN where it was not taken.

    At the limit the nearest ones, from worst to best. Kept ones at percentiles of the kept, from
    the worst; where there are few, each at its lowest percentile only.
    """
    order, cut = sort_by_limit(values, limit, measure.is_maximum)
    title = f"{measure.measure}: {measure.meaning}; limit {_number(limit)}"
    first, kept = max(0, cut - LEFT_OUT), order[cut:]
    percentiles: dict[int, int] = {}
    for percentile in PERCENTILES if len(kept) else ():
        percentiles.setdefault(int(kept[percentile * (len(kept) - 1) // 100]), percentile)

    def draw_tile(index: int, before: str = "") -> Image.Image:
        return add_caption(fit_into_tile(load(index)), before + _number(values[index]))

    bar = Image.new("RGB", (BAR, TILE + CAPTION), RED)
    left = [draw_tile(index) for index in order[first:cut].tolist()]
    right = [draw_tile(index) for index in order[cut : first + AT_LIMIT].tolist()]
    spread = [draw_tile(index, f"{share} %: ") for index, share in percentiles.items()]
    return [
        Line(f"{title} leaves out {cut:,} of {len(order):,}", [*left, bar, *right]),
        Line(ELSEWHERE if spread else "none is kept", spread),
    ]


def sort_by_limit(
    values: NDArray[np.floating], limit: float, is_maximum: bool
) -> tuple[Integers, int]:
    """Avatars that were measured, worst first, and how many of them the limit leaves out.

    Of equal values the first come first; those on the limit are kept.
    """
    measured = np.flatnonzero(~np.isnan(values))
    badness = -values[measured] if is_maximum else values[measured]
    order = measured[np.argsort(badness, kind="stable")]
    beyond = values[order] > limit if is_maximum else values[order] < limit
    return order, int(np.count_nonzero(beyond))


def list_pairs(outcome: Outcome, load: Load) -> list[Line]:
    """The near-duplicates that differ most, by dhash, then phash; the kept one on the left."""
    selection = outcome.selection
    near = selection.near
    if not len(near):
        return [Line("no near-duplicates were left out")]
    farthest = near[np.lexsort((-selection.phash[near], -selection.dhash[near]))][:PAIRS]
    entry = outcome.plan.entries["entry"][outcome.decoded.avatars["picture"]]
    tiles = []
    for number in farthest.tolist():
        kept = int(selection.leader[number])
        pair = np.concatenate([load(kept), load(number)], axis=1)
        scale = scale_into_tile((len(pair), len(pair)))
        framed = ImageOps.expand(resize(Image.fromarray(pair), scale), BORDER, FRAME)
        distances = f"{selection.dhash[number]} / {selection.phash[number]}"
        tiles.append(add_caption(framed, f"{entry[kept]}, {entry[number]}: {distances}"))
    noun = "near-duplicate" if len(near) == 1 else "near-duplicates"
    legend = "the farthest pairs, kept on the left: Hamming distance of dhash / phash"
    lines = [tiles[i : i + PAIRS_A_LINE] for i in range(0, len(tiles), PAIRS_A_LINE)]
    return [Line(f"{len(near):,} {noun}; {legend}"), *(Line(tiles=line) for line in lines)]


def list_attributes(attributes: AvatarLabels, kept: Integers, load: Load) -> list[Line]:
    """A line of images for each value, of an independent attribute those with and without it.

    Then the pairs of values that go together more, or less, than by chance. `kept` are the avatars
    in the cache.
    """
    vocabulary, labels = attributes.vocabulary, attributes.labels[kept]
    if not vocabulary:
        return [Line("no image has labels: too few have the tags of preprocess.attributes")]

    def draw_tiles(column: int, code: int, most: int) -> list[Image.Image]:
        alike = kept[labels[:, column] == code]
        sample = alike[evenly_spaced(len(alike), most)].tolist()
        return [fit_into_tile(load(number)).reduce(2) for number in sample]

    lines, bar = [], Image.new("RGB", (BAR, TILE // 2), RED)
    for column, about in enumerate(count_labels(vocabulary, labels)):
        counts, unknown = about["values"], f"{about['unknown']:,} unknown"
        if about["kind"] == "independent":
            yes, no = (
                draw_tiles(column, NO_YES.index(each), OF_EACH_SIDE) for each in ("yes", "no")
            )
            text = f"{about['name']}: {counts['yes']:,} yes, {counts['no']:,} no, {unknown}"
            lines.append(Line(text, [*yes, bar, *no]))
            continue
        lines.append(Line(f"{about['name']}: {unknown}"))
        for code, (value, count) in enumerate(counts.items()):
            tiles = draw_tiles(column, code, 2 * OF_EACH_SIDE)
            lines.append(Line(f"{value}: {count:,}", tiles))
    pairs = describe_pairs(find_pairs(vocabulary, labels))
    return [*lines, Line("\n".join(("Pairs of values, the farthest from chance first:", *pairs)))]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
