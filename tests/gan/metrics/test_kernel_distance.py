import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from gan.errors import GanError
from gan.metrics import kernel_distance as kernel
from gan.metrics import metric as feature_checks
from gan.metrics.kernel_distance import kernel_distance


def draw(seed, count, dimensions=24, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(dimensions, dimensions)) / dimensions**0.5
    features = np.maximum(rng.normal(size=(count, dimensions)) @ mixing + 0.5 + shift, 0.0)
    return features.astype(np.float32)


def peers_distance(real, fake):
    sides = (torch.from_numpy(side.astype(np.float64)) for side in (real, fake))
    whole = {"kid_subsets": 1, "kid_subset_size": len(real)}
    found = kid_features_to_metric(*sides, **whole, verbose=False)
    return found["kernel_inception_distance_mean"]


def double_loop(real, fake):
    def k(x, y):
        return (float(x.astype(float) @ y.astype(float)) / len(x) + 1) ** 3

    def count_within(side):
        pairs = [k(x, y) for i, x in enumerate(side) for j, y in enumerate(side) if i != j]
        return np.mean(pairs)

    return (
        count_within(real)
        + count_within(fake)
        - 2 * np.mean([k(x, y) for x in real for y in fake])
    )


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("block", [64, 1024])
def test_distance_equals_torch_fidelity_on_whole_sets(monkeypatch, shift, block):
    monkeypatch.setattr(kernel, "BLOCK", block)
    real, fake = draw(1, 500), draw(2, 500, shift=shift)
    expected = peers_distance(real, fake)
    assert kernel_distance(real, fake)["kernel"] == pytest.approx(expected, rel=1e-6)


def test_distance_of_unequal_counts_is_that_of_a_double_loop(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 7)
    real, fake = draw(3, 31), draw(4, 18, shift=0.2)
    expected = pytest.approx(double_loop(real, fake), rel=1e-9)
    assert kernel_distance(real, fake)["kernel"] == expected
    assert kernel_distance(fake, real)["kernel"] == expected


@pytest.mark.parametrize(
    ("count_real", "count_fake", "shift"),
    [(60, 240, 0.3), (240, 60, 0.1), (100, 100, 0.0)],
)
def test_error_is_the_spread_of_repeated_draws(count_real, count_fake, shift):
    found = [
        kernel_distance(draw(2 * i, count_real), draw(2 * i + 1, count_fake, shift=shift))
        for i in range(300)
    ]
    spread = np.std([one["kernel"] for one in found])
    assert np.mean([one["kernel_error"] for one in found]) == pytest.approx(spread, rel=0.2)


def test_what_does_not_explain_an_entry_is_measured_by_least_squares():
    x, y = (kernel._embed(draw(seed, count, 5)) for seed, count in ((7, 12), (8, 9)))
    entries = (x @ y.T) ** 3
    row, column = np.indices(entries.shape)
    assert kernel._sums_across(x, y).residual == pytest.approx(
        residual_variance(entries, row, 12 + column, 21)
    )
    entries = (x @ x.T) ** 3
    row, column = np.triu_indices(12, 1)
    expected = residual_variance(entries[row, column], row, column, 12)
    assert kernel._sums_within(x).residual == pytest.approx(expected)


def residual_variance(entries, first, second, effects):
    """Residual variance of entries = effect + effect, by numpy's least squares."""
    entries, first, second = entries.ravel(), first.ravel(), second.ravel()
    design = np.zeros((entries.size, effects))
    design[np.arange(entries.size), first] = 1
    design[np.arange(entries.size), second] = 1
    fitted, _, rank, _ = np.linalg.lstsq(design, entries, rcond=None)
    return np.square(entries - design @ fitted).sum() / (entries.size - rank)


def test_more_rows_than_needed_are_thinned_evenly(monkeypatch):
    real, fake = draw(9, 103), draw(10, 90, shift=0.1)
    monkeypatch.setattr(feature_checks.subsample, "__defaults__", (30,))
    few = kernel_distance(real, fake)
    monkeypatch.undo()
    chosen = [103 * i // 30 for i in range(30)], [3 * i for i in range(30)]
    assert few == kernel_distance(real[chosen[0]], fake[chosen[1]])


def test_too_few_rows_other_sizes_and_undefined_numbers_are_refused():
    with pytest.raises(GanError, match="3 images are too few; give at least 4"):
        kernel_distance(draw(1, 9), draw(2, 3))
    with pytest.raises(GanError, match="cannot be compared"):
        kernel_distance(draw(1, 9, 4), draw(2, 9, 5))
    broken = draw(1, 9)
    broken[3, 2] = np.nan
    with pytest.raises(GanError, match="infinite or undefined"):
        kernel_distance(draw(2, 9), broken)
