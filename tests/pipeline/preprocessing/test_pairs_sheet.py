"""The table of duplicates and the picture of the pairs to doubt."""

import csv
import io
import random

import numpy as np
import pytest

from pipeline.pictures.captions import CAPTION, GAP, TITLE
from pipeline.preprocessing.sheets.duplicates import (
    BORDER,
    NEAR,
    SAME_FILE,
    SAME_PIXELS,
    Duplicate,
    Pair,
    duplicates_table,
    farthest,
    pairs_sheet,
)


def pair(seed, size=64, caption="rows 17, 912: 4 / 8"):
    random = np.random.default_rng(seed)
    return Pair(*random.integers(0, 100, (2, size, size, 3), dtype=np.uint8), caption)


def inner(sheet, line, column, height, width):
    top = TITLE + GAP + line * (height + 2 * BORDER + CAPTION + GAP) + BORDER
    left = GAP + column * (width + 2 * BORDER + GAP) + BORDER
    return np.asarray(sheet)[top : top + height, left : left + width]


def test_the_table_goes_by_the_kept_row_then_by_the_row():
    duplicates = [
        Duplicate(3, 90, "/3", "/90", NEAR, 4, 8),
        Duplicate(3, 7, "/3", "/7", SAME_PIXELS),
        Duplicate(20, 4, "/20", "/4", NEAR, 0, 0),
        Duplicate(1, 30, "/1", "/a\tb\r\n\ud800", SAME_FILE),
    ]
    assert list(duplicates_table(iter(duplicates))) == [
        "kept_row\trow\tkept_url\turl\tkind\tdhash\tphash\n",
        "1\t30\t/1\t/a b \\ud800\tsame file\t\t\n",
        "3\t7\t/3\t/7\tsame pixels\t\t\n",
        "3\t90\t/3\t/90\tnear\t4\t8\n",
        "20\t4\t/20\t/4\tnear\t0\t0\n",
    ]


def test_two_faces_of_one_picture_stay_in_their_order():
    twice = [Duplicate(3, 9, "/3", "/9", NEAR, 4, 8), Duplicate(3, 9, "/3", "/9", NEAR, 1, 0)]
    distances = [line.split("\t")[5] for line in duplicates_table(twice)][1:]
    assert distances == ["4", "1"]


def test_the_table_is_read_back_whole_whatever_its_urls():
    odd = [chr(c) for c in (9, 10, 11, 12, 13, 28, 30, 133, 8232, 8233, 0xD800, 233, 34)]
    duplicates = [
        Duplicate(i, i + 1, f"a{c}b", f"{c}x", SAME_FILE, None, i) for i, c in enumerate(odd)
    ]
    text = "".join(duplicates_table(duplicates)).encode().decode()
    assert len(text.splitlines()) == 1 + len(odd)
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [int(row["kept_row"]) for row in rows] == list(range(len(odd)))
    assert all(row["phash"] == row["kept_row"] and row["dhash"] == "" for row in rows)


def test_no_duplicates_are_a_line_of_names():
    assert len(list(duplicates_table([]))) == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.uint64])
def test_the_farthest_are_those_of_a_plain_sort(seed, dtype):
    generator = np.random.default_rng(seed)
    dhash = generator.integers(0, 5, 200).astype(dtype)
    phash = generator.integers(0, 9, 200).astype(dtype)
    order = sorted(range(200), key=lambda i: (-int(dhash[i]), -int(phash[i]), i))
    assert farthest(dhash, phash, 24).tolist() == order[:24]
    assert farthest(dhash, phash, 900).tolist() == order


def test_no_pairs_have_no_farthest():
    none = np.zeros(0, np.int16)
    assert farthest(none, none, 24).tolist() == []


@pytest.mark.parametrize(("size", "factor"), [(32, 4), (48, 2), (64, 2), (96, 1), (128, 1)])
def test_a_pair_touches_and_is_enlarged_by_a_whole_factor(size, factor):
    one = pair(0, size)
    height, width = factor * size, 2 * factor * size
    shown = inner(pairs_sheet([one], 4, 1), 0, 0, height, width)
    both = np.concatenate([one.kept, one.dropped], axis=1)
    assert np.array_equal(shown, both.repeat(factor, axis=0).repeat(factor, axis=1))


def test_pairs_are_laid_out_row_by_row_each_in_its_border():
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


def test_no_pairs_are_said_in_words():
    sheet = np.asarray(pairs_sheet([], 6, 0))
    assert sheet.shape[0] < 40
    assert sheet.min() < 100


def test_no_columns_are_an_error():
    with pytest.raises(ValueError, match="columns = 0"):
        pairs_sheet([pair(0)], 0, 1)


def test_the_order_of_the_input_does_not_change_the_table():
    duplicates = [Duplicate(i // 3, i, "/k", f"/{i}", SAME_FILE) for i in range(30)]
    mixed = random.Random(0).sample(duplicates, 30)
    assert list(duplicates_table(mixed)) == list(duplicates_table(duplicates))
