import numpy as np
import pytest
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_statistics_to_metric

from gan.errors import GanError
from gan.features.statistics import Statistics
from gan.metrics.frechet_distance import frechet_distance


def gaussian(mean, covariance):
    return Statistics(np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float), 5000)


def sample(rng, dimensions, count, scale=1.0):
    mixing = rng.normal(size=(dimensions, dimensions)) / dimensions**0.5
    features = scale * rng.normal(size=(count, dimensions)) @ mixing + rng.normal(size=dimensions)
    return Statistics(features.mean(axis=0), np.cov(features, rowvar=False), count)


def test_distance_of_diagonal_gaussians_is_the_closed_form():
    rng = np.random.default_rng(1)
    means, deviations = rng.normal(size=(2, 300)), rng.uniform(0, 3, size=(2, 300))
    a, b = (gaussian(m, np.diag(s**2)) for m, s in zip(means, deviations, strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("count", [500, 20])
def test_distance_to_itself_is_zero_also_when_singular(count):
    a = sample(np.random.default_rng(3), 64, count)
    assert 0 <= frechet_distance(a, a) < 1e-9 * np.trace(a.covariance)


@pytest.mark.parametrize(("left", "right"), [(1000, 800), (1000, 60), (60, 50), (200, 129)])
def test_distance_is_that_of_both_peers_for_whole_and_singular_covariances(left, right):
    rng = np.random.default_rng(5)
    a, b = sample(rng, 128, left), sample(rng, 128, right, scale=1.3)
    found = frechet_distance(a, b)
    theirs = calculate_frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    assert found == pytest.approx(float(theirs), rel=1e-6)
    if min(left, right) > 128:  # torch-fidelity is imprecise for singular ones
        sides = ({"mu": side.mean, "sigma": side.covariance} for side in (a, b))
        theirs = fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"]
        assert found == pytest.approx(theirs, rel=1e-6)


def test_spectrum_over_many_orders_of_magnitude_keeps_its_digits():
    rng = np.random.default_rng(8)
    turn, _ = np.linalg.qr(rng.normal(size=(100, 100)))
    first, second = np.logspace(2, -9, 100), np.logspace(1, -9, 100)
    a = gaussian(np.zeros(100), turn @ np.diag(first) @ turn.T)
    b = gaussian(np.zeros(100), turn @ np.diag(second) @ turn.T)
    expected = ((first**0.5 - second**0.5) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("covariance", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]]])
def test_a_matrix_that_is_no_covariance_is_refused(covariance):
    with pytest.raises(GanError, match="covariance"):
        frechet_distance(gaussian([0, 0], covariance), gaussian([0, 0], np.eye(2)))


def test_undefined_numbers_and_unequal_sizes_are_refused():
    with pytest.raises(GanError, match="undefined"):
        frechet_distance(gaussian([0, np.nan], np.eye(2)), gaussian([0, 0], np.eye(2)))
    with pytest.raises(GanError, match="cannot be compared"):
        frechet_distance(gaussian([0], np.eye(1)), gaussian([0, 0], np.eye(2)))
