import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan.errors import GanError
from gan.metrics import nearest_neighbours as distances
from gan.metrics.nearest_neighbours import count_within, nearest_neighbours


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_ROWS", 32)
    monkeypatch.setattr(distances, "BLOCK_COLUMNS", 50)


def draw(seed, count, dimensions=37, offset=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, dimensions)) * scale + offset).astype(np.float32)


def brute(points, among, k, skip_self=False):
    apart = cdist(points.astype(np.float64), among.astype(np.float64))
    if skip_self:
        np.fill_diagonal(apart, np.inf)
    rows = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(apart, rows, axis=1), rows


def agrees(points, among, k, skip_self=False):
    found, rows = nearest_neighbours(points, among, k, skip_self=skip_self)
    expected, expected_rows = brute(points, among, k, skip_self)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == np.float64


@pytest.mark.parametrize("k", [1, 5, 60])
def test_neighbours_are_those_of_brute_force(k):
    agrees(draw(1, 230), draw(2, 310), k)
    agrees(draw(1, 230), draw(1, 230), k, skip_self=True)


@pytest.mark.parametrize(("offset", "scale"), [(1e4, 1.0), (0.0, 1e-30), (0.0, 1e30)])
def test_neighbours_survive_offsets_and_scales_that_float32_sums_do_not(offset, scale):
    agrees(draw(1, 100, 20, offset, scale), draw(2, 120, 20, offset, scale), 4)


def test_points_a_millionth_apart_keep_order_and_distance():
    base = draw(3, 40, 64, offset=20.0)
    near = np.concatenate([base + np.float32(2e-6 * step) for step in (3, 1, 2)])
    agrees(base, near, 3)
    agrees(near, near, 2, skip_self=True)


def test_a_copy_is_at_distance_zero_exactly():
    among = draw(4, 300, 513, offset=5.0)
    found, rows = nearest_neighbours(among[70:90], among, 1)
    np.testing.assert_array_equal(found[:, 0], 0.0)
    np.testing.assert_array_equal(rows[:, 0], np.arange(70, 90))


def test_results_do_not_depend_on_the_batch_of_points_nor_on_blocks(monkeypatch):
    points, among = draw(8, 150, offset=9.0), draw(9, 400, offset=9.0)
    whole = nearest_neighbours(points, among, 5)
    parts = [
        nearest_neighbours(points[start : start + 11], among, 5) for start in range(0, 150, 11)
    ]
    for i in range(2):
        np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), whole[i])
    monkeypatch.undo()
    for one, other in zip(nearest_neighbours(points, among, 5), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_few_rows_other_sizes_and_undefined_numbers_are_refused():
    with pytest.raises(GanError, match="2 images are too few; give at least 3"):
        nearest_neighbours(draw(1, 9), draw(2, 2), 3)
    with pytest.raises(GanError, match="3 images are too few; give at least 4"):
        nearest_neighbours(draw(1, 3), draw(1, 3), 3, skip_self=True)
    with pytest.raises(GanError, match="cannot be compared"):
        nearest_neighbours(draw(1, 9, 4), draw(2, 9, 5), 3)
    broken = draw(1, 9)
    broken[3, 2] = np.inf
    for sides in ((broken, draw(2, 9)), (draw(2, 9), broken)):
        with pytest.raises(GanError, match="infinite or undefined"):
            nearest_neighbours(*sides, 3)


def test_pairs_within_radii_are_those_of_brute_force():
    points, among = draw(11, 150, 6, offset=50.0), draw(12, 260, 6, offset=50.0)
    rng = np.random.default_rng(13)
    limits = [rng.uniform(0, 4, size=shape) for shape in ((1, 260), (150, 1), (1, 260))]
    apart = cdist(points.astype(np.float64), among.astype(np.float64))
    for count, limit in zip(count_within(points, among, limits), limits, strict=True):
        np.testing.assert_array_equal(count.points, (apart <= limit).sum(axis=1))
        np.testing.assert_array_equal(count.candidates, (apart <= limit).sum(axis=0))
        assert 0 < count.points.sum() < apart.size


def test_a_point_exactly_on_the_limit_is_within_it():
    features = draw(14, 130, 45, offset=7.0)
    radii, rows = nearest_neighbours(features, features, 3, skip_self=True)
    (count,) = count_within(features, features, [radii[:, -1:]])
    np.testing.assert_array_equal(count.points, 4)  # itself and three more, the last on the limit
    np.testing.assert_array_equal(
        count.candidates, 1 + np.bincount(rows.ravel(), minlength=len(features))
    )
    (count,) = count_within(features, features, [radii[:, -1:] * (1 - 1e-9)])
    np.testing.assert_array_equal(count.points, 3)
