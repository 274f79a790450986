"""The pictures of a run, drawn while every avatar that was made is still there."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.pictures.contact_sheet import contact_sheet
from pipeline.preprocessing.decoding import decode
from pipeline.preprocessing.decoding.avatars import Recipe
from pipeline.preprocessing.filters import FilterRules
from pipeline.preprocessing.outcome import Outcome
from pipeline.preprocessing.sheets.duplicates import Pair, farthest, pairs_sheet
from pipeline.preprocessing.sheets.limits import Band, limits_sheet
from pipeline.preprocessing.sheets.rejects import Rejected, rejects_sheet
from pipeline.preprocessing.workers.image_slots import StagedImages

SIDE = 8  # of the contact sheet, in images
PAIRS, PAIRS_A_LINE = 60, 6


def draw(
    outcome: Outcome, rejected: Sequence[Rejected], images: StagedImages, recipe: Recipe
) -> dict[str, Image.Image]:
    """The sheets by name; `images` holds every avatar in its slot."""
    plan, slot = outcome.plan, outcome.avatars["slot"]

    def avatar(number: int) -> Image.Image:
        return Image.fromarray(images.read(int(slot[number])))

    def picture(row: int) -> Image.Image | None:
        entry = int(np.flatnonzero(plan.row == row)[0])
        try:
            return decode.upright(plan.location(entry).read(), recipe.geometry)
        except decode.BadImageError:
            return None

    kept = slot[outcome.choice.kept]
    return {
        "contact_sheet": _some(kept, images),
        "rejects": rejects_sheet(rejected, picture, avatar),
        "filters": limits_sheet(_bands(outcome.avatars, recipe.rules), avatar),
        "duplicates": _pairs(outcome, images),
    }


def _some(slots: NDArray[np.int64], images: StagedImages) -> Image.Image:
    """Images evenly from all, each once."""
    count = min(SIDE**2, len(slots))
    shown = [slots[i * len(slots) // count] for i in range(count)]
    return contact_sheet(np.stack([images.read(int(slot)) for slot in shown]), SIDE)


def _bands(avatars: NDArray[np.void], rules: FilterRules) -> list[Band]:
    if not rules.looks:
        return []
    return [
        Band(title, avatars[name], limit, below)
        for name, title, limit, below in (
            ("contrast", "contrast: deviation of the colours", rules.min_contrast, True),
            ("one_colour", "one_colour: share of one colour", rules.max_one_colour, False),
            ("sharpness", "sharpness: variance of the Laplacian", rules.min_sharpness, True),
            ("colour", "colour: mean distance of R, G and B", rules.min_colour, True),
        )
    ]


def _pairs(outcome: Outcome, images: StagedImages) -> Image.Image:
    choice, near = outcome.choice, outcome.choice.near
    row, slot = outcome.plan.row[outcome.avatars["entry"]], outcome.avatars["slot"]
    pairs = []
    for number in near[farthest(choice.dhash[near], choice.phash[near], PAIRS)].tolist():
        leader = int(choice.leader[number])
        kept, dropped = (images.read(int(slot[each])) for each in (leader, number))
        distances = f"{choice.dhash[number]} / {choice.phash[number]}"
        pairs.append(Pair(kept, dropped, f"{row[leader]}, {row[number]}: {distances}"))
    return pairs_sheet(pairs, PAIRS_A_LINE, len(near))
