"""Sheet of the near-duplicates that differ most."""

import numpy as np
import pytest

from pipeline.pictures.captions import CAPTION, GAP, TITLE
from pipeline.preprocessing.sheets.duplicates import (
    BORDER,
    Pair,
    pairs_sheet,
    pick_farthest,
)


def pair(seed, size=64, caption="rows 17, 912: 4 / 8"):
    random = np.random.default_rng(seed)
    return Pair(*random.integers(0, 100, (2, size, size, 3), dtype=np.uint8), caption)


def inner(sheet, line, column, height, width):
    top = TITLE + GAP + line * (height + 2 * BORDER + CAPTION + GAP) + BORDER
    left = GAP + column * (width + 2 * BORDER + GAP) + BORDER
    return np.asarray(sheet)[top : top + height, left : left + width]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.uint64])
def test_the_farthest_pairs_equal_a_plain_sort(seed, dtype):
    generator = np.random.default_rng(seed)
    dhash = generator.integers(0, 5, 200).astype(dtype)
    phash = generator.integers(0, 9, 200).astype(dtype)
    order = sorted(range(200), key=lambda i: (-int(dhash[i]), -int(phash[i]), i))
    assert pick_farthest(dhash, phash, 24).tolist() == order[:24]
    assert pick_farthest(dhash, phash, 900).tolist() == order


def test_no_pairs_have_no_farthest():
    none = np.zeros(0, np.int16)
    assert pick_farthest(none, none, 24).tolist() == []


@pytest.mark.parametrize(("size", "factor"), [(32, 4), (48, 2), (64, 2), (96, 1), (128, 1)])
def test_a_pair_touches_and_is_enlarged_by_a_whole_factor(size, factor):
    one = pair(0, size)
    height, width = factor * size, 2 * factor * size
    shown = inner(pairs_sheet([one], 4, 1), 0, 0, height, width)
    both = np.concatenate([one.kept, one.dropped], axis=1)
    assert np.array_equal(shown, both.repeat(factor, axis=0).repeat(factor, axis=1))


def test_pairs_are_laid_out_line_by_line_each_in_its_border():
    pairs = [pair(seed) for seed in range(5)]
    sheet = pairs_sheet(pairs, 2, 842)
    for number, each in enumerate(pairs):
        shown = inner(sheet, number // 2, number % 2, 128, 256)
        assert np.array_equal(shown[::2, ::2], np.concatenate([each.kept, each.dropped], axis=1))
    assert sheet.height == TITLE + GAP + 3 * (128 + 2 * BORDER + CAPTION + GAP)
    pixels = np.asarray(sheet)
    assert (pixels[TITLE + GAP : TITLE + GAP + BORDER, GAP : GAP + 256] == 150).all()


def test_the_title_fits_over_one_small_pair():
    one = pairs_sheet([pair(0, 48)], 6, 1_234_567)
    many = pairs_sheet([pair(0, 48)] * 6, 6, 1_234_567)
    titles = [np.asarray(sheet)[:TITLE] for sheet in (one, many)]
    assert one.width < many.width
    assert np.array_equal(titles[0], titles[1][:, : one.width])
    assert (titles[1][:, one.width :] == 255).all()


def test_the_caption_and_the_total_are_on_the_sheet():
    plain = pairs_sheet([pair(0)], 1, 7)
    for other in (pairs_sheet([pair(0, caption="rows 1, 2")], 1, 7), pairs_sheet([pair(0)], 1, 9)):
        assert other.tobytes() != plain.tobytes()
        assert np.array_equal(inner(other, 0, 0, 128, 256), inner(plain, 0, 0, 128, 256))


def test_without_pairs_the_sheet_is_a_line_of_text():
    sheet = np.asarray(pairs_sheet([], 6, 0))
    assert sheet.shape[0] < 40
    assert sheet.min() < 100


def test_no_columns_are_an_error():
    with pytest.raises(ValueError, match="columns = 0"):
        pairs_sheet([pair(0)], 0, 1)
