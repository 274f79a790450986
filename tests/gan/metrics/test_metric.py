import pytest

from gan.metrics.build import number_of
from gan.metrics.metric import metric_key, small_side


@pytest.mark.parametrize(
    ("metric", "extractor", "count", "rest", "key"),
    [
        ("frechet", "inception", 5000, {}, "fid_5k"),
        ("frechet", "inception", 50000, {"against": "holdout"}, "fid_50k_holdout"),
        ("frechet", "inception", 2500, {}, "fid_2500"),
        ("frechet", "inception", 10000, {"marks": ["bf16", "raw"]}, "fid_bf16_raw_10k"),
        ("frechet", "lite0", 5000, {"against": "holdout", "small": 500},
         "fd_lite0_5k_holdout_small500"),
        ("infinity", "inception", 5000, {}, "fid_inf_5k"),
        ("infinity", "lite0", 5000, {}, "fd_inf_lite0_5k"),
        ("kernel_error", "inception_0123abcd", 5000, {}, "kd_se_inception_0123abcd_5k"),
        ("score", "inception", 5000, {}, "is_5k"),
        ("sliced_wasserstein", "patches", 5000, {"against": "holdout", "small": 500},
         "swd_5k_holdout_small500"),
        ("sliced_wasserstein_64", "patches", 5000, {"marks": ["raw"]}, "swd_64px_raw_5k"),
        ("spectrum", "spectrum", 5000, {"against": "holdout"}, "spectrum_5k_holdout"),
        ("coverage", "script_0123abcd", 10000, {"against": "vs_faces_89abcdef"},
         "coverage_script_0123abcd_10k_vs_faces_89abcdef"),
    ],
)  # fmt: skip
def test_a_key_says_metric_extractor_protocol_count_and_reals(metric, extractor, count, rest, key):
    assert metric_key(number_of(metric), extractor, count, **rest) == key


@pytest.mark.parametrize(
    ("fakes", "reals", "small"),
    [(5000, 500, 500), (100, 4500, 100), (2047, 2048, 2047), (2048, 2048, None)],
)
def test_the_smaller_side_counts_if_it_has_too_few_images(fakes, reals, small):
    assert small_side(fakes, reals) == small
