"""Examples at a limit, and the sheet of them."""

import numpy as np
import pytest
from PIL import Image

from pipeline.pictures.captions import CAPTION, GAP, RED, TILE, TITLE
from pipeline.preprocessing.sheets.limits import (
    ACROSS,
    BAND,
    BAR,
    LEFT_OUT,
    LINE,
    PERCENTILES,
    MeasureLimit,
    limits_sheet,
    pick_examples,
)

NAN = float("nan")
FIRST = TITLE + 2 * GAP  # top of the first band


def avatar(index):
    """One colour that encodes its index, and that no text or bar has."""
    return Image.new("RGB", (64, 64), (index % 100, 100 + index // 100, 77))


def shown(sheet, top, number, after_bar=False):
    """The index that the tile with this number shows."""
    left = GAP + number * (TILE + GAP) + (BAR + GAP if after_bar else 0)
    tile = np.asarray(sheet)[top : top + TILE, left : left + TILE]
    assert (tile == tile[0, 0]).all()
    red, green, blue = (int(channel) for channel in tile[0, 0])
    assert blue == 77
    return red + 100 * (green - 100)


def of(*values):
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize("below", [True, False])
@pytest.mark.parametrize("limit", [-1.0, 0.0, 3.0, 10.0, 19.0, 25.0])
def test_examples_equal_a_plain_sort(limit, below):
    generator = np.random.default_rng(int(limit) + 7)
    values = generator.integers(0, 20, 300).astype(np.float32)
    values[generator.random(300) < 0.2] = NAN
    measured = [i for i in range(300) if values[i] == values[i]]
    order = sorted(measured, key=lambda i: (values[i] if below else -values[i], i))
    gone = [i for i in order if (values[i] < limit if below else values[i] > limit)]
    kept = order[len(gone) :]
    examples = pick_examples(values, limit, below)
    assert examples.left_out.tolist() == gone[-LEFT_OUT:]
    assert examples.kept.tolist() == kept[: ACROSS - len(gone[-LEFT_OUT:])]
    assert (examples.total_left_out, examples.total) == (len(gone), len(order))
    assert set(examples.spread.values()) <= set(kept)


def test_the_nearest_to_the_limit_meet_at_it():
    values = np.arange(100, dtype=np.float64)
    examples = pick_examples(values, 50, below=True)
    assert examples.left_out.tolist() == [43, 44, 45, 46, 47, 48, 49]
    assert examples.kept.tolist() == [50, 51, 52, 53, 54, 55, 56]
    other = pick_examples(values, 50, below=False)
    assert other.left_out.tolist() == [57, 56, 55, 54, 53, 52, 51]
    assert other.kept.tolist() == [50, 49, 48, 47, 46, 45, 44]


def test_kept_ones_fill_the_line_where_few_are_left_out():
    examples = pick_examples(np.arange(100.0), 2, below=True)
    assert examples.left_out.tolist() == [0, 1]
    assert examples.kept.tolist() == list(range(2, ACROSS))


def test_equal_values_come_in_the_order_of_their_indices():
    examples = pick_examples(of(5, 1, 5, 1, 5), 3, below=True)
    assert examples.left_out.tolist() == [1, 3]
    assert examples.kept.tolist() == [0, 2, 4]
    assert pick_examples(of(5, 1, 5, 1, 5), 3, below=False).left_out.tolist() == [0, 2, 4]


def test_a_value_on_the_limit_is_kept_also_in_single_precision():
    assert pick_examples(of(0.95), 0.95, below=True).total_left_out == 0
    assert pick_examples(of(0.95), 0.95, below=False).total_left_out == 0


def test_no_value_left_out_shows_the_kept_ones_next_to_the_limit():
    examples = pick_examples(of(9, 7, 8), 0, below=True)
    assert examples.left_out.tolist() == []
    assert examples.kept.tolist() == [1, 2, 0]
    assert examples.total_left_out == 0


def test_all_values_left_out_leave_no_kept_and_no_percentiles():
    examples = pick_examples(np.arange(30.0), 99, below=True)
    assert examples.left_out.tolist() == list(range(23, 30))
    assert examples.kept.tolist() == []
    assert examples.spread == {}
    assert (examples.total_left_out, examples.total) == (30, 30)


def test_missing_values_are_ignored():
    examples = pick_examples(of(NAN, 4, NAN, 2, 9), 3, below=True)
    assert examples.left_out.tolist() == [3]
    assert examples.kept.tolist() == [1, 4]
    assert (examples.total_left_out, examples.total) == (1, 3)
    none = pick_examples(of(NAN, NAN), 3, below=False)
    assert (none.total, none.left_out.tolist(), none.kept.tolist(), none.spread) == (0, [], [], {})


def test_one_avatar_is_shown_once():
    examples = pick_examples(of(4), 3, below=True)
    assert examples.kept.tolist() == [0]
    assert examples.spread == {0: 0}
    assert pick_examples(of(4), 5, below=True).left_out.tolist() == [0]


@pytest.mark.parametrize("below", [True, False])
def test_a_limit_at_a_percentile_leaves_out_that_share_of_the_kept(below):
    values = np.random.default_rng(0).random(1001)
    limit = 0.2 if below else 0.8
    examples = pick_examples(values, limit, below)
    kept = examples.total - examples.total_left_out
    assert list(examples.spread) == list(PERCENTILES)
    for percentile, index in examples.spread.items():
        more = pick_examples(values, values[index], below).total_left_out - examples.total_left_out
        assert more == percentile * (kept - 1) // 100


def test_of_few_avatars_each_has_one_percentile():
    spread = pick_examples(of(1, 2, 3, 4, 5), 0, below=True).spread
    assert spread == {0: 0, 25: 1, 50: 2, 75: 3, 100: 4}


def test_the_sheet_shows_the_examples_on_both_sides_of_the_bar():
    values = np.random.default_rng(1).permutation(400).astype(np.float64)
    asked = []

    def load(index):
        asked.append(index)
        return avatar(index)

    sheet = limits_sheet([MeasureLimit("sharpness", values, 30, True)], load)
    examples = pick_examples(values, 30, below=True)
    top = FIRST + TITLE
    left = [shown(sheet, top, i) for i in range(LEFT_OUT)]
    right = [shown(sheet, top, i, after_bar=True) for i in range(LEFT_OUT, ACROSS)]
    spread = [shown(sheet, top + LINE + TITLE, i) for i in range(len(PERCENTILES))]
    assert left == examples.left_out.tolist()
    assert right == examples.kept.tolist()
    assert spread == list(examples.spread.values())
    assert asked == left + right + spread
    red = np.argwhere((np.asarray(sheet) == RED).all(axis=2))
    bar = GAP + LEFT_OUT * (TILE + GAP)
    assert red.min(axis=0).tolist() == [top, bar]
    assert red.max(axis=0).tolist() == [top + LINE - 1, bar + BAR - 1]


def test_each_measure_has_its_part_and_its_side_of_the_limit():
    values = np.arange(40, dtype=np.float32)
    limits = [
        MeasureLimit("sharpness", values, 10, True),
        MeasureLimit("one_colour", values, 10, False),
    ]
    sheet = limits_sheet(limits, avatar)
    assert shown(sheet, FIRST + TITLE, LEFT_OUT - 1) == 9
    assert shown(sheet, FIRST + BAND + TITLE, LEFT_OUT - 1) == 11
    assert sheet.height == FIRST + 2 * BAND


def test_the_sheet_fits_a_screen():
    values = np.arange(500, dtype=np.float32)
    assert limits_sheet([MeasureLimit("sharpness", values, 20, True)], avatar).width <= 1920


def test_a_measure_that_was_not_taken_is_one_line():
    values = np.arange(40, dtype=np.float32)
    limits = [
        MeasureLimit("contrast", values * NAN, 8, True),
        MeasureLimit("sharpness", values, 10, True),
    ]
    sheet = limits_sheet(limits, avatar)
    assert sheet.height == FIRST + TITLE + BAND
    assert shown(sheet, FIRST + 2 * TITLE, LEFT_OUT - 1) == 9


def test_a_limit_that_leaves_out_all_shows_no_kept_ones():
    sheet = np.asarray(limits_sheet([MeasureLimit("contrast", of(1, 2), 8, True)], avatar))
    assert shown(sheet, FIRST + TITLE, 1) == 1
    assert (sheet[FIRST + TITLE + LINE + TITLE :] == 255).all()


def test_numbers_below_pictures_and_in_the_title_are_those_of_the_values():
    def sheet(values, limit):
        return np.asarray(limits_sheet([MeasureLimit("contrast", values, limit, True)], avatar))

    plain, caption = sheet(of(1, 20), 8), FIRST + TITLE + TILE
    other_value, other_limit = sheet(of(1, 21), 8), sheet(of(1, 20), 9)
    below = [slice(top, top + CAPTION) for top in (caption, caption + CAPTION + TITLE + TILE)]
    assert all((plain[lines] != other_value[lines]).any() for lines in below)
    assert np.array_equal(plain[:caption], other_value[:caption])
    assert (plain[:caption] != other_limit[:caption]).any()
    assert np.array_equal(plain[FIRST + TITLE :], other_limit[FIRST + TITLE :])


def test_without_measures_the_sheet_is_a_line_of_text():
    sheet = np.asarray(limits_sheet([], avatar))
    assert sheet.shape[0] < 40
    assert sheet.min() < 100


def test_equal_values_give_equal_pictures():
    limits = [MeasureLimit("contrast", np.random.default_rng(3).random(50), 0.5, True)]
    assert limits_sheet(limits, avatar).tobytes() == limits_sheet(limits, avatar).tobytes()
