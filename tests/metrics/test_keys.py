import pytest

from gan.errors import GanError
from gan.metrics.keys import metric_key, small_side


@pytest.mark.parametrize(
    ("prefix", "count", "split", "small", "key"),
    [
        ("fid", 5000, "train", None, "fid_5k"),
        ("fid", 10000, "train", None, "fid_10k"),
        ("fid", 50000, "holdout", None, "fid_50k_holdout"),
        ("fid", 2048, "train", None, "fid_2048"),
        ("fid", 2500, "train", None, "fid_2500"),
        ("fd_lite0", 5000, "holdout", None, "fd_lite0_5k_holdout"),
        ("fd_lite0", 5000, "holdout", 500, "fd_lite0_5k_holdout_small500"),
        ("fd_lite0", 300, "train", 300, "fd_lite0_300_small300"),
        ("fd_inception_0123abcd", 5000, "train", None, "fd_inception_0123abcd_5k"),
    ],
)
def test_a_key_says_extractor_count_split_and_smallness(prefix, count, split, small, key):
    assert metric_key(prefix, count, split, small) == key


@pytest.mark.parametrize(("fakes", "reals", "small"), [(5000, 500, 500), (100, 4500, 100)])
def test_too_few_images_on_a_side_are_named_or_refused(fakes, reals, small):
    assert small_side(fakes, reals, allow_small=True) == small
    with pytest.raises(GanError, match=f"{fakes} fakes against {reals} real images"):
        small_side(fakes, reals, allow_small=False)


@pytest.mark.parametrize("allow_small", [True, False])
def test_enough_images_are_not_called_small(allow_small):
    assert small_side(2048, 2048, allow_small) is None
