"""Euclidean nearest neighbours between sets of features too large for one distance matrix.

Blocks of the matrix come from products in float64; the distances of the neighbours found are then
computed from differences, so that nearly equal points lose nothing to cancellation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.features.statistics import Array, Features
from gan.metrics.metric import check_features, not_finite_error

Indices = NDArray[np.int64]

BLOCK_ROWS = 1024  # points of a block of the distance matrix
BLOCK_COLUMNS = 4096  # candidates of a block
EXACT_ROWS = 64  # points whose neighbours' differences are in memory at once
ROUNDING = 1e-12  # of the squared norms: more than float64 loses in a product


def nearest_neighbours(
    points: Features, candidates: Features, k: int, *, skip_self: bool = False
) -> tuple[Array, Indices]:
    """Distances (N, k) float64, ascending, and indices (N, k) of the k nearest candidates.

    points (N, D), candidates (M, D), which may be a memory map: memory stays bounded. Equal
    distances are in the order of the indices. skip_self: points are the candidates, and none is
    its own neighbour. Raises GanError with fewer than k neighbours and for features that are not
    finite.
    """
    check_features(points, candidates, least=1, purpose="nearest neighbours")
    check_features(candidates, least=k + skip_self, purpose=f"{k} nearest neighbours")
    squares = np.full((len(points), k), np.inf)
    indices = np.zeros((len(points), k), dtype=np.int64)
    for rows, columns, block in _blocks(points, candidates):
        if skip_self:
            own = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
            block[own - rows.start, own - columns.start] = np.inf
        pool = np.concatenate([squares[rows], block], axis=1)
        best = np.argpartition(pool, k - 1, axis=1)[:, :k]
        squares[rows] = np.take_along_axis(pool, best, axis=1)
        before = np.take_along_axis(indices[rows], np.minimum(best, k - 1), axis=1)
        indices[rows] = np.where(best < k, before, best - k + columns.start)
    for rows in _slices(len(points), EXACT_ROWS):
        differences = points[rows, None].astype(np.float64) - candidates[indices[rows]]
        squares[rows] = np.einsum("nkd,nkd->nk", differences, differences)
    order = np.lexsort((indices, squares), axis=1)
    return (
        np.sqrt(np.take_along_axis(squares, order, axis=1)),
        np.take_along_axis(indices, order, axis=1),
    )


@dataclass
class Counts:
    """Number of near members of the other set, for each point (N,) and each candidate (M,)."""

    points: Indices
    candidates: Indices


def count_within(points: Features, candidates: Features, radii: Sequence[Array]) -> list[Counts]:
    """Count the pairs of points (N, D) and candidates (M, D) that are within each radius.

    A radius is (1, M), around each candidate, or (N, 1), around each point; the surface counts as
    within, up to the rounding of float64. One pass for all radii.
    """
    check_features(points, candidates, least=1, purpose="balls around features")
    counts = [
        Counts(np.zeros(len(points), np.int64), np.zeros(len(candidates), np.int64)) for _ in radii
    ]
    for rows, columns, block in _blocks(points, candidates):
        for radius, count in zip(radii, counts, strict=True):
            own = radius[rows] if len(radius) > 1 else radius[:, columns]
            near = block <= np.square(own)
            count.points[rows] += near.sum(axis=1)
            count.candidates[columns] += near.sum(axis=0)
    return counts


def _blocks(points: Features, candidates: Features) -> Iterator[tuple[slice, slice, Array]]:
    """Blocks of the matrix of squared distances, those of one point in the candidates' order.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y, less its rounding, so that pairs on a surface are within.
    """
    centre = points.mean(axis=0, dtype=np.float64)
    for rows in _slices(len(points), BLOCK_ROWS):
        left, left_norms = _centre(points[rows], centre)
        for columns in _slices(len(candidates), BLOCK_COLUMNS):
            right, right_norms = _centre(candidates[columns], centre)
            block = left @ (-2.0 * right.T)
            block += (1.0 - ROUNDING) * left_norms[:, None]
            block += (1.0 - ROUNDING) * right_norms
            yield rows, columns, block


def _slices(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def _centre(features: Features, centre: Array) -> tuple[Array, Array]:
    """Features less the centre (n, D), and their squared norms (n,)."""
    with np.errstate(invalid="ignore"):
        rows = features - centre
        norms = np.einsum("nd,nd->n", rows, rows)
    if not np.isfinite(norms).all():
        raise not_finite_error()
    return rows, norms
