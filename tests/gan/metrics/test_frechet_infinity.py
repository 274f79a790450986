import numpy as np
import pytest

from gan.errors import GanError
from gan.features.statistics import Statistics, statistics_of
from gan.metrics.frechet_distance import frechet_distance
from gan.metrics.frechet_infinity import fakes_needed, frechet_infinity

SIZE = 30


def spectrum():
    return 1.0 / np.arange(1, SIZE + 1)


def gaussian(shift=0.0, stretch=1.0):
    return Statistics(np.full(SIZE, shift), np.diag(spectrum() * stretch), None)


def draw(seed, count, shift=0.0, stretch=1.0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, SIZE)) * np.sqrt(spectrum() * stretch) + shift
    return features.astype(np.float32)


@pytest.mark.parametrize("count", [100, 301])
@pytest.mark.parametrize(("shift", "stretch"), [(0.05, 1.3), (0.0, 1.0), (0.2, 0.5)])
def test_extrapolated_distances_are_nearer_to_the_true_one(count, shift, stretch):
    real = gaussian()
    true = frechet_distance(real, gaussian(shift, stretch))
    fakes = [draw(seed, count, shift, stretch) for seed in range(60)]
    raw = np.array([frechet_distance(real, statistics_of(fake)) for fake in fakes]) - true
    found = np.array([frechet_infinity(real, fake) for fake in fakes]) - true
    assert abs(found.mean()) < 0.25 * raw.mean()
    assert np.square(found).mean() < np.square(raw).mean()
    if stretch > 1:  # extrapolating hardly adds to the spread over draws
        assert found.std() < 1.25 * raw.std()


def test_a_line_through_both_counts_is_what_is_extrapolated():
    fake, real = draw(1, 200, 0.3), gaussian()
    order = np.random.RandomState(2020).permutation(200)
    whole = frechet_distance(real, statistics_of(fake))
    halves = [frechet_distance(real, statistics_of(fake[np.sort(i)])) for i in np.split(order, 2)]
    _, intercept = np.polyfit([1 / 200, 1 / 100], [whole, np.mean(halves)], 1)
    assert frechet_infinity(real, fake) == pytest.approx(intercept, rel=1e-9)


def test_too_few_fakes_other_sizes_and_undefined_numbers_are_refused():
    needed = fakes_needed(SIZE)
    assert np.isfinite(frechet_infinity(gaussian(), draw(3, needed)))
    with pytest.raises(GanError, match=f"{needed - 1} images are too few; give at least {needed}"):
        frechet_infinity(gaussian(), draw(3, needed - 1))
    with pytest.raises(GanError, match="cannot be compared"):
        frechet_infinity(gaussian(), draw(3, 100)[:, :20])
    broken = draw(3, 100)
    broken[3, 2] = np.nan
    with pytest.raises(GanError, match="undefined"):
        frechet_infinity(gaussian(), broken)
