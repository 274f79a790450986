"""Filters: values at a limit pass, each fault has its reason."""

import numpy as np
import pytest
from preprocess_inputs import section

from pipeline.preprocessing.filters import (
    LONG_PICTURE,
    QUALITY_LIMITS,
    SMALL_PICTURE,
    check_picture,
    check_quality_at_all,
    describe_fault,
    find_faults,
)
from pipeline.preprocessing.measures import MEASURES_DTYPE, measure

NO_LIMITS = section().filters
AT_THE_LIMIT = {"contrast": 8.0, "one_colour": 0.95, "sharpness": 20.0, "colour": 2.0}
KEYS = {limit.key: AT_THE_LIMIT[limit.measure] for limit in QUALITY_LIMITS}
LIMITS = section(filters={"min_side": 48, "max_aspect": 2.0} | KEYS).filters


def measured(**changes):
    rows = np.zeros(1, MEASURES_DTYPE)
    for name, value in (AT_THE_LIMIT | changes).items():
        rows[name] = value
    return rows


@pytest.mark.parametrize(
    ("size", "reason", "detail"),
    [
        ((47, 900), SMALL_PICTURE, "47x900, a side under 48 pixels"),
        ((48, 97), LONG_PICTURE, "48x97, 2.02 to 1, over 2"),
    ],
)
def test_a_picture_beyond_a_limit_is_rejected_with_its_size(size, reason, detail):
    fault = check_picture(size, LIMITS)
    assert (fault.reason, fault.detail, fault.box) == (reason, detail, None)


def test_what_is_just_at_a_limit_or_was_not_measured_passes():
    for size in [(48, 48), (48, 96), (1000, 2000)]:
        assert check_picture(size, LIMITS) is None
    assert find_faults(measured(), LIMITS).tolist() == [0]
    rows = measure(np.zeros((3, 32, 32, 3), np.uint8), hashes=False, quality=False)
    assert find_faults(rows, LIMITS).tolist() == [0, 0, 0]


def test_without_limits_everything_passes_and_one_is_enough_to_measure():
    assert check_picture((1, 1000), NO_LIMITS) is None
    assert not check_quality_at_all(NO_LIMITS)
    for limit in QUALITY_LIMITS:
        assert check_quality_at_all(section(filters={limit.key: 0.9}).filters)
    black = np.zeros((1, 32, 32, 3), np.uint8)
    assert find_faults(measure(black, hashes=False, quality=True), NO_LIMITS).tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"contrast": 7.5}, "nearly one tone", "contrast 7.5, under 8"),
        ({"colour": 0}, "grey", "colour 0, under 2"),
        ({"sharpness": 19.9996}, "blurred", "sharpness 19.9996, under 20"),
        ({"one_colour": 0.95004}, "nearly one colour", "one colour 0.95004, over 0.95"),
    ],
)
def test_an_avatar_beyond_a_limit_has_its_fault(changes, reason, detail):
    rows = measured(**changes)
    (code,) = find_faults(rows, LIMITS)
    fault = QUALITY_LIMITS[code - 1]
    assert fault.reason == reason
    assert describe_fault(rows[0], fault, LIMITS) == detail


def test_of_several_faults_the_first_in_order_counts():
    worse = {"contrast": 0.0, "one_colour": 1.0, "sharpness": 0.0, "colour": 0.0}
    for number, limit in enumerate(QUALITY_LIMITS, start=1):
        assert find_faults(measured(**worse), LIMITS).tolist() == [number]
        del worse[limit.measure]
