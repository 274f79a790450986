"""Sheets: examples at a limit, rejects of each reason, pairs that differ most."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from preprocess_inputs import section

from pipeline.faces.box import Box
from pipeline.pictures.captions import CAPTION, GAP, RED, TILE, TITLE, Line, draw_lines
from pipeline.preprocessing.decoding.decode import BadImageError
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.filters import QUALITY_LIMITS
from pipeline.preprocessing.measures import MEASURES_DTYPE
from pipeline.preprocessing.outcome import Rejected
from pipeline.preprocessing.sheets import (
    AT_LIMIT,
    BAR,
    LEFT_OUT,
    OF_EACH_REASON,
    PAIRS,
    PAIRS_A_LINE,
    PERCENTILES,
    list_examples,
    list_limits,
    list_pairs,
    list_rejects,
    sort_by_limit,
)

GREEN = (20, 160, 60)
CONTRAST, ONE_COLOUR = QUALITY_LIMITS[:2]


def avatar(index):
    """One colour that encodes its index, and that no text or bar has."""
    return Image.new("RGB", (64, 64), (index % 100, 100 + index // 100, 77))


def shown(tile):
    """The index that a tile shows."""
    pixels = np.asarray(tile)[:TILE]
    assert (pixels == pixels[0, 0]).all()
    red, green, blue = (int(channel) for channel in pixels[0, 0])
    assert blue == 77
    return red + 100 * (green - 100)


def examples(values, limit, measure=CONTRAST):
    """Indices left of the bar, right of it, and at the percentiles."""
    at_limit, spread = list_examples(np.array(values, np.float32), measure, limit, avatar)
    bar = [tile.width for tile in at_limit.tiles].index(BAR)
    assert np.asarray(at_limit.tiles[bar]).reshape(-1, 3).tolist() == [list(RED)] * BAR * (
        TILE + CAPTION
    )
    sides = (at_limit.tiles[:bar], at_limit.tiles[bar + 1 :], spread.tiles)
    return tuple([shown(tile) for tile in side] for side in sides)


# --- limits ---


@pytest.mark.parametrize("measure", [CONTRAST, ONE_COLOUR], ids=["minimum", "maximum"])
@pytest.mark.parametrize("limit", [-1.0, 0.0, 3.0, 10.0, 19.0, 25.0])
def test_examples_equal_a_plain_sort(limit, measure):
    generator = np.random.default_rng(int(limit) + 7)
    values = generator.integers(0, 20, 300).astype(np.float32)
    values[generator.random(300) < 0.2] = np.nan
    sign = -1 if measure.is_maximum else 1
    measured = [i for i in range(300) if values[i] == values[i]]
    order = sorted(measured, key=lambda i: (sign * values[i], i))
    gone = [i for i in order if sign * values[i] < sign * limit]
    kept = order[len(gone) :]
    found, cut = sort_by_limit(values, limit, measure.is_maximum)
    assert (found.tolist(), cut) == (order, len(gone))
    left, right, spread = examples(values, limit, measure)
    assert left == gone[-LEFT_OUT:]
    assert right == kept[: AT_LIMIT - len(left)]
    assert set(spread) <= set(kept)


def test_the_nearest_meet_at_the_limit_and_kept_ones_fill_the_line():
    left, right, _ = examples(range(100), 50)
    assert (left, right) == ([*range(43, 50)], [*range(50, 57)])
    left, right, _ = examples(range(100), 2)
    assert (left, right) == ([0, 1], [*range(2, AT_LIMIT)])
    for maximum in (True, False):  # a value on the limit is kept, also in single precision
        assert sort_by_limit(np.array([0.95], np.float32), 0.95, maximum)[1] == 0
    left, right, spread = examples(range(30), 99)
    assert (left, right, spread) == ([*range(23, 30)], [], [])


def test_a_limit_at_a_percentile_leaves_out_that_share_of_the_kept():
    values = np.random.default_rng(0).random(1001).astype(np.float32)
    before, kept = sort_by_limit(values, 0.2, False)[1], int((values >= np.float32(0.2)).sum())
    _, _, spread = examples(values, 0.2)
    for percentile, index in zip(PERCENTILES, spread, strict=True):
        more = sort_by_limit(values, values[index], False)[1] - before
        assert more == percentile * (kept - 1) // 100
    few = list_examples(np.arange(5.0), CONTRAST, 0, avatar)[1]
    assert [shown(tile) for tile in few.tiles] == [0, 1, 2, 3, 4]


def test_every_measure_has_its_lines_and_the_sheet_fits_a_screen():
    avatars = np.zeros(500, MEASURES_DTYPE)
    for measure in QUALITY_LIMITS:
        avatars[measure.measure] = np.arange(500) / 500
    lines = list_limits(avatars, section(filters={"min_contrast": 0.5}).filters, avatar)
    assert len(lines) == 1 + 2 * len(QUALITY_LIMITS)
    for line, measure in zip(lines[1::2], QUALITY_LIMITS, strict=True):
        assert measure.measure in line.text
    sheet = draw_lines(lines)
    assert sheet.width <= 1920
    top = 2 * (TITLE + GAP)
    red = np.argwhere((np.asarray(sheet)[: top + TILE] == RED).all(axis=2))
    assert red.min(axis=0).tolist() == [top, GAP + LEFT_OUT * (TILE + GAP)]
    (off,) = list_limits(avatars, section().filters, avatar)
    assert draw_lines([off]).height < 40


# --- rejects ---


def page(number):
    return Image.new("RGB", (400, 200), GREEN)


def forbidden(number):
    raise AssertionError(f"{number} is not wanted")


def faces(count, reason="face too small", first=0):
    reject = Reject(reason, "small", Box(100, 50, 100, 100))
    return [Rejected(first + i, first + i, f"/{i}.png", reject) for i in range(count)]


def test_the_box_is_drawn_on_the_picture_and_a_filtered_avatar_is_shown_itself():
    (line,) = list_rejects(faces(1), page, forbidden)
    tile = np.asarray(line.tiles[0])
    # 400x200 in a tile of 128: scale 0.32, 32 pixels down; the box is 32x32 at 32,48
    red = np.argwhere((tile == RED).all(axis=2))
    assert red.min(axis=0).tolist() == [48, 32]
    assert red.max(axis=0).tolist() == [80, 64]
    assert tuple(tile[64, 10]) == tuple(tile[64, 48]) == GREEN
    assert tuple(tile[5, 5]) not in (GREEN, RED)
    blurred = Rejected(5, 5, "/5.png", Reject("blurred", "sharpness 3", Box(1, 1, 9, 9)), avatar=9)
    (line,) = list_rejects([blurred], forbidden, avatar)
    assert shown(line.tiles[0]) == 9


def test_a_sample_of_each_reason_is_spread_evenly_in_manifest_order():
    asked = []

    def load(number):
        asked.append(number)
        return page(number)

    lines = list_rejects(faces(2, "no face", first=500) + faces(71), load, forbidden)
    assert [line.text for line in lines] == ["face too small: 71", "no face: 2"]
    assert asked == [*range(0, 71, 10), 500, 501]
    assert len(asked) == OF_EACH_REASON + 2
    (none,) = list_rejects([], forbidden, forbidden)
    assert draw_lines([none]).height < 40


def test_a_picture_that_cannot_be_opened_is_shown_by_its_reason():
    def load(number):
        raise BadImageError

    bad = [Rejected(7, 7, "/7", Reject("unreadable", why)) for why in ("truncated", "")]
    tiles = [np.asarray(list_rejects([each], load, forbidden)[0].tiles[0]) for each in bad]
    assert (tiles[0][:TILE] != tiles[1][:TILE]).any()


# --- pairs ---


def outcome_of(dhash, phash):
    """An outcome whose avatars after the first are near to it."""
    count = len(dhash) + 1
    return SimpleNamespace(
        selection=SimpleNamespace(
            near=np.arange(1, count),
            leader=np.zeros(count, int),
            dhash=np.array([0, *dhash], np.int16),
            phash=np.array([0, *phash], np.int16),
        ),
        decoded=SimpleNamespace(avatars={"picture": np.arange(count)}),
        plan=SimpleNamespace(entries={"entry": np.arange(count)}),
    )


def test_the_farthest_pairs_come_first_the_kept_one_on_the_left():
    generator = np.random.default_rng(0)
    dhash, phash = generator.integers(0, 5, 200), generator.integers(0, 9, 200)
    title, *lines = list_pairs(outcome_of(dhash, phash), avatar)
    assert title.text.startswith("200 ")
    assert {len(line.tiles) for line in lines} == {PAIRS_A_LINE}
    pixels = [np.asarray(tile) for line in lines for tile in line.tiles]
    order = sorted(range(200), key=lambda i: (-dhash[i], -phash[i], i))[:PAIRS]
    assert [shown(each[2:130, 130:258]) for each in pixels] == [i + 1 for i in order]
    assert all(shown(each[2:130, 2:130]) == 0 for each in pixels)
    assert all((each[:2] == 150).all() for each in pixels)
    (none,) = list_pairs(outcome_of([], []), avatar)
    assert draw_lines([none]).height < 40


def test_a_sheet_is_as_wide_as_its_widest_line():
    tiles = [avatar(i) for i in range(3)]
    sheet = np.asarray(draw_lines([Line("a", tiles), Line(tiles=tiles[:1])]))
    assert sheet.shape == (TITLE + 3 * GAP + 128, 3 * (64 + GAP) + GAP, 3)
    top = TITLE + GAP
    for number, tile in enumerate(tiles):
        left = GAP + number * (64 + GAP)
        assert np.array_equal(sheet[top : top + 64, left : left + 64], np.asarray(tile))
    wide = draw_lines([Line("a long text " * 9, tiles[:1])])
    assert wide.width > sheet.shape[1]
