"""Filters: values at a limit pass, each fault has its reason."""

import numpy as np
import pytest

from pipeline.preprocessing.filters import (
    BLURRED,
    FLAT,
    GREY,
    LONG_PICTURE,
    NO_LIMITS,
    ONE_COLOUR,
    QUALITY_REASONS,
    SMALL_PICTURE,
    FilterRules,
    check_picture,
    describe_fault,
    find_faults,
)
from pipeline.preprocessing.measures import MEASURES_DTYPE, measure

RULES = FilterRules(
    min_side=48,
    max_aspect=2.0,
    min_contrast=8.0,
    max_one_colour=0.95,
    min_sharpness=20.0,
    min_colour=2.0,
)
AT_THE_LIMIT = {"contrast": 8.0, "one_colour": 0.95, "sharpness": 20.0, "colour": 2.0}


def measured(**changes):
    rows = np.zeros(1, MEASURES_DTYPE)
    for name, value in (AT_THE_LIMIT | changes).items():
        rows[name] = value
    return rows


@pytest.mark.parametrize("size", [(48, 48), (48, 96), (96, 48), (1000, 2000), (49, 97)])
def test_a_picture_within_the_limits_passes(size):
    assert check_picture(size, RULES) is None


@pytest.mark.parametrize(
    ("size", "reason", "detail"),
    [
        ((47, 900), SMALL_PICTURE, "47x900, a side under 48 pixels"),
        ((900, 47), SMALL_PICTURE, "900x47, a side under 48 pixels"),
        ((97, 48), LONG_PICTURE, "97x48, 2.02 to 1, over 2"),
        ((48, 97), LONG_PICTURE, "48x97, 2.02 to 1, over 2"),
        ((2001, 1000), LONG_PICTURE, "2001x1000, 2.001 to 1, over 2"),
    ],
)
def test_a_picture_beyond_a_limit_is_rejected_with_its_size(size, reason, detail):
    fault = check_picture(size, RULES)
    assert (fault.reason, fault.detail, fault.box) == (reason, detail, None)


def test_without_limits_everything_passes():
    assert check_picture((1, 65535), NO_LIMITS) is None
    assert not NO_LIMITS.any_quality
    black = np.zeros((1, 32, 32, 3), np.uint8)
    assert find_faults(measure(black, hashes=False, quality=True), NO_LIMITS).tolist() == [0]


@pytest.mark.parametrize(
    "limit",
    [{"min_contrast": 1}, {"max_one_colour": 0.99}, {"min_sharpness": 1}, {"min_colour": 1}],
)
def test_one_limit_on_quality_is_enough_to_measure_it(limit):
    assert FilterRules(**limit).any_quality
    assert not FilterRules(min_side=48, max_aspect=2.0).any_quality


def test_an_avatar_just_at_every_limit_passes():
    assert find_faults(measured(), RULES).tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"contrast": 7.5}, FLAT, "contrast 7.5, under 8"),
        ({"one_colour": 0.97265625}, ONE_COLOUR, "one colour 0.973, over 0.95"),
        ({"sharpness": 12.3}, BLURRED, "sharpness 12.3, under 20"),
        ({"colour": 0}, GREY, "colour 0, under 2"),
        ({"sharpness": 19.9996}, BLURRED, "sharpness 19.9996, under 20"),
        ({"one_colour": 0.95004}, ONE_COLOUR, "one colour 0.95004, over 0.95"),
    ],
)
def test_an_avatar_beyond_a_limit_has_its_fault(changes, reason, detail):
    rows = measured(**changes)
    (code,) = find_faults(rows, RULES)
    assert QUALITY_REASONS[code - 1] == reason
    assert describe_fault(rows[0], code - 1, RULES) == detail


def test_of_several_faults_the_first_in_order_counts():
    worse = {"contrast": 0.0, "one_colour": 1.0, "sharpness": 0.0, "colour": 0.0}
    found = []
    while worse:
        (code,) = find_faults(measured(**worse), RULES)
        found.append(QUALITY_REASONS[code - 1])
        del worse[next(iter(worse))]
    assert found == list(QUALITY_REASONS)


def test_an_avatar_without_measures_passes():
    rows = measure(np.zeros((3, 32, 32, 3), np.uint8), hashes=False, quality=False)
    assert find_faults(rows, RULES).tolist() == [0, 0, 0]


def test_many_at_once_have_the_same_faults_as_one_by_one():
    rng = np.random.default_rng(0)
    rows = np.zeros(300, MEASURES_DTYPE)
    for name, limit in AT_THE_LIMIT.items():
        rows[name] = limit * rng.choice([0.9, 1.0, 1.04], 300)
    together = find_faults(rows, RULES)
    assert together.dtype == np.int8
    assert together.tolist() == [int(find_faults(rows[i : i + 1], RULES)[0]) for i in range(300)]
    assert set(together.tolist()) == {0, 1, 2, 3, 4}
