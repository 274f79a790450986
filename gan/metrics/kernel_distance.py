"""Kernel distance (KID) of two sets of features over all pairs, and its standard error."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from gan.features.statistics import Array, Features
from gan.metrics.metric import (
    MAX_IMAGES,
    Metric,
    Number,
    check_features,
    not_finite_error,
    subsample,
)

MIN_IMAGES = 4  # on a side; the error can't be estimated from fewer
BLOCK = 1024  # rows and columns of a block of the kernel matrix: 8 MiB


def kernel_distance(real: Features, fake: Features) -> dict[str, float]:
    """Squared maximum mean discrepancy of real (N, D) and fake (M, D) with kernel (x.y/D + 1)^3.

    Bińkowski et al. 2018 (arXiv:1801.01401), equation 4: the unbiased estimate, from all
    pairs at once instead of random subsets; it may be below zero if the sets are alike. Takes at
    most 10,000 images of each side, evenly spaced. kernel_error, the standard error, counts both
    sides as samples, see `_variance`. Raises GanError with fewer than 4 images on a side, for
    unequal sizes and features that are not finite.
    """
    check_features(real, fake, least=MIN_IMAGES, purpose="kernel distance")
    x, y = _embed(subsample(real)), _embed(subsample(fake))
    within_x, within_y, across = _sums_within(x), _sums_within(y), _sums_across(x, y)
    value = within_x.mean + within_y.mean - 2.0 * across.mean
    error = float(np.sqrt(_variance(within_x, within_y, across)))
    return {"kernel": value, "kernel_error": error}


@dataclass(frozen=True)
class _Sums:
    """Means of a kernel matrix over each row, each column and all entries; residual variance."""

    rows: Array
    columns: Array
    mean: float
    residual: float  # variance of entries around mean + row effect + column effect


def _variance(within_x: _Sums, within_y: _Sums, across: _Sums) -> float:
    """Variance of the value, by Hoeffding's decomposition of a two-sample U-statistic.

    The first-order part is 4 Var(h(x)) / N + 4 Var(g(y)) / M with the projections h, g (Serfling
    1980, section 5.2.1; for this distance Sutherland and Deka 2019, arXiv:1906.02104). Projections
    are means over finitely many partners, whose noise adds twice the second-order part: this is
    subtracted, and the second-order part added once. Distances near zero have only this part.
    """
    count_x, count_y = len(across.rows), len(across.columns)
    second = (
        2.0 * within_x.residual / (count_x * (count_x - 1))
        + 2.0 * within_y.residual / (count_y * (count_y - 1))
        + 4.0 * across.residual / (count_x * count_y)
    )
    first = 4.0 * float(np.var(within_x.rows - across.rows, ddof=1)) / count_x
    first += 4.0 * float(np.var(within_y.rows - across.columns, ddof=1)) / count_y
    return max(first - 2.0 * second, 0.0) + second


def _embed(features: Features) -> Array:
    """Vectors whose inner products are x.y/D + 1, in float64."""
    count, dimensions = features.shape
    rows = np.ones((count, dimensions + 1))
    rows[:, :-1] = features
    rows[:, :-1] /= np.sqrt(dimensions)
    if not np.isfinite(rows).all():
        raise not_finite_error()
    return rows


def _sums_within(x: Array) -> _Sums:
    """Sums of k(x_i, x_j), i != j: the matrix is symmetric, so half of its blocks are enough."""
    count = len(x)
    rows, squares = np.zeros(count), 0.0
    for top, side in product(range(0, count, BLOCK), repeat=2):
        if side < top:
            continue
        entries = _cubes(x[top : top + BLOCK], x[side : side + BLOCK])
        if side == top:
            np.fill_diagonal(entries, 0.0)
        else:
            rows[side : side + BLOCK] += entries.sum(axis=0)
        rows[top : top + BLOCK] += entries.sum(axis=1)
        squares += float(np.vdot(entries, entries)) * (1 if side == top else 2)
    mean = float(rows.sum()) / (count * (count - 1))
    effects = (rows / (count - 1) - mean) * ((count - 1) / (count - 2))
    rest = squares - count * (count - 1) * mean**2 - 2 * (count - 2) * float(effects @ effects)
    means = rows / (count - 1)
    return _Sums(means, means, mean, max(rest, 0.0) / (count * (count - 3)))


def _sums_across(x: Array, y: Array) -> _Sums:
    """Sums of k(x_i, y_j)."""
    rows, columns, squares = np.zeros(len(x)), np.zeros(len(y)), 0.0
    for top, side in product(range(0, len(x), BLOCK), range(0, len(y), BLOCK)):
        entries = _cubes(x[top : top + BLOCK], y[side : side + BLOCK])
        rows[top : top + BLOCK] += entries.sum(axis=1)
        columns[side : side + BLOCK] += entries.sum(axis=0)
        squares += float(np.vdot(entries, entries))
    rows, columns = rows / len(y), columns / len(x)
    mean = float(rows.mean())
    explained = np.square(rows - mean).sum() * len(y) + np.square(columns - mean).sum() * len(x)
    rest = squares - len(x) * len(y) * mean**2 - float(explained)
    return _Sums(rows, columns, mean, max(rest, 0.0) / ((len(x) - 1) * (len(y) - 1)))


def _cubes(x: Array, y: Array) -> Array:
    """The kernel (n, m) of embedded vectors."""
    inner = x @ y.T
    entries: Array = np.square(inner)
    entries *= inner
    return entries


PAPER = "Bińkowski et al. 2018, arXiv:1801.01401"
KERNEL = Number(
    "kernel",
    "Kernel distance",
    "lower",
    "Squared maximum mean discrepancy of the features with a cubic kernel; with Inception it "
    "is KID. Unbiased: near 0, even below, if fakes are distributed like real images.",
    PAPER,
    prefix="kd",
    inception_prefix="kid",
    rank=3,
    chief=True,
)
ERROR = Number(
    "kernel_error",
    "Standard error of the kernel distance",
    "neither",
    "Standard error of the estimate; a difference of less than about two standard errors "
    "is no evidence.",
    PAPER,
    prefix="kd_se",
    inception_prefix="kid_se",
)
METRIC = Metric(
    (KERNEL, ERROR),
    lambda real, fake: kernel_distance(real.vectors, fake.vectors),
    min_images=MIN_IMAGES,
    max_fakes=MAX_IMAGES,
)
