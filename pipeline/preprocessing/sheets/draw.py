"""Sheets of preprocess, drawn while every avatar is still in its slot."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.pictures.contact_sheet import contact_sheet
from pipeline.preprocessing.decoding import decode
from pipeline.preprocessing.decoding.avatars import Recipe
from pipeline.preprocessing.filters import FilterRules
from pipeline.preprocessing.outcome import Outcome
from pipeline.preprocessing.sheets.duplicates import Pair, pairs_sheet, pick_farthest
from pipeline.preprocessing.sheets.limits import MeasureLimit, limits_sheet
from pipeline.preprocessing.sheets.rejects import rejects_sheet
from pipeline.preprocessing.tables import Rejected
from pipeline.preprocessing.workers.image_slots import StagedImages

SIDE = 8  # of the contact sheet, in images
PAIRS, PAIRS_A_LINE = 60, 6


def draw_sheets(
    outcome: Outcome, rejected: Sequence[Rejected], images: StagedImages, recipe: Recipe
) -> dict[str, Image.Image]:
    """Draw the sheets, by name; `images` holds every avatar in its slot."""
    plan, slot = outcome.plan, outcome.decoded.avatars["slot"]

    def load_avatar(number: int) -> Image.Image:
        return Image.fromarray(images.read(int(slot[number])))

    def load_picture(entry: int) -> Image.Image | None:
        picture = int(np.flatnonzero(plan.entry == entry)[0])
        try:
            return decode.decode_full(plan.location(picture).read(), recipe.geometry)
        except decode.BadImageError:
            return None

    kept = slot[outcome.selection.kept]
    limits = _list_limits(outcome.decoded.avatars, recipe.filters)
    return {
        "contact_sheet": _draw_sample(kept, images),
        "rejects": rejects_sheet(rejected, load_picture, load_avatar),
        "filters": limits_sheet(limits, load_avatar),
        "duplicates": _draw_pairs(outcome, images),
    }


def _draw_sample(slots: NDArray[np.int64], images: StagedImages) -> Image.Image:
    """A contact sheet of images spread evenly over all slots."""
    count = min(SIDE**2, len(slots))
    sample = [slots[i * len(slots) // count] for i in range(count)]
    return contact_sheet(np.stack([images.read(int(slot)) for slot in sample]), SIDE)


def _list_limits(avatars: NDArray[np.void], filters: FilterRules) -> list[MeasureLimit]:
    if not filters.any_quality:
        return []
    return [
        MeasureLimit(title, avatars[name], limit, below)
        for name, title, limit, below in (
            ("contrast", "contrast: deviation of the colours", filters.min_contrast, True),
            ("one_colour", "one_colour: share of one colour", filters.max_one_colour, False),
            ("sharpness", "sharpness: variance of the Laplacian", filters.min_sharpness, True),
            ("colour", "colour: mean distance of R, G and B", filters.min_colour, True),
        )
    ]


def _draw_pairs(outcome: Outcome, images: StagedImages) -> Image.Image:
    selection, avatars = outcome.selection, outcome.decoded.avatars
    near, slot = selection.near, avatars["slot"]
    entry = outcome.plan.entry[avatars["picture"]]
    pairs = []
    for number in near[
        pick_farthest(selection.dhash[near], selection.phash[near], PAIRS)
    ].tolist():
        leader = int(selection.leader[number])
        kept, dropped = (images.read(int(slot[each])) for each in (leader, number))
        distances = f"{selection.dhash[number]} / {selection.phash[number]}"
        pairs.append(Pair(kept, dropped, f"{entry[leader]}, {entry[number]}: {distances}"))
    return pairs_sheet(pairs, PAIRS_A_LINE, len(near))
