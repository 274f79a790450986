"""Exact Euclidean nearest neighbours between sets of features too large for one distance matrix.

Products of float32 matrices give every squared distance within known bounds. Pairs that these
bounds don't decide are computed again in float64, so that results are those of float64 for any
block size, also for nearly equal points.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gan.features.extraction import Features
from gan.features.statistics import Array
from gan.metrics.feature_checks import check_features, not_finite_error

Indices = NDArray[np.int64]
Float32s = NDArray[np.float32]

CHUNK = 16_384  # points that are compared in one pass over a memory map of candidates
BLOCK_ROWS = 1024  # points of a block of the distance matrix
BLOCK_COLUMNS = 4096  # candidates of a block
EXACT_PAIRS = 512  # pairs that are computed in float64 at once


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
    indices = np.full((len(points), k), len(candidates), dtype=np.int64)
    for block in _blocks(points, candidates):
        rows = slice(block.top, block.top + len(block.lower))
        if skip_self:
            block.exclude_diagonal()
        limit = block.upper_limit(squares[rows])
        left, right = np.nonzero(~(block.lower > limit[:, None]))  # NaN counts as near
        if skip_self:
            others = left + block.top != right + block.side
            left, right = left[others], right[others]
        exact = _exact_squares(points, candidates, left + block.top, right + block.side)
        _merge(squares[rows], indices[rows], left, right + block.side, exact)
    return np.sqrt(squares), indices


@dataclass
class Counts:
    """Number of near members of the other set, for each point (N,) and each candidate (M,)."""

    points: Indices
    candidates: Indices

    @classmethod
    def zeros(cls, points: int, candidates: int) -> Self:
        return cls(np.zeros(points, dtype=np.int64), np.zeros(candidates, dtype=np.int64))


def count_within(points: Features, candidates: Features, radii: Sequence[Array]) -> list[Counts]:
    """Count the pairs of points (N, D) and candidates (M, D) that are within each radius.

    A radius is (1, M), around each candidate, or (N, 1), around each point; the surface counts as
    within. One pass for all radii; distances are as exact as those of `nearest_neighbours`.
    """
    check_features(points, candidates, least=1, purpose="balls around features")
    counts = [Counts.zeros(len(points), len(candidates)) for _ in radii]
    for block in _blocks(points, candidates):
        for radius, count in zip(radii, counts, strict=True):
            left, right = _pairs_within(points, candidates, block, radius)
            count.points += np.bincount(left, minlength=len(points))
            count.candidates += np.bincount(right, minlength=len(candidates))
    return counts


@dataclass(frozen=True)
class Block:
    """Bounds of squared distances of points from row `top` on to candidates from `side` on.

    They are in units of `unit`. A true one is at least `lower` (n, m), and at most `lower` +
    `row_slack` (n,) + `column_slack` (m,).
    """

    top: int
    side: int
    lower: Float32s
    row_slack: Array
    column_slack: Array
    unit: float

    def exclude_diagonal(self) -> None:
        """Put every point infinitely far from itself."""
        columns = np.arange(len(self.lower)) + self.top - self.side
        rows = np.flatnonzero((columns >= 0) & (columns < self.lower.shape[1]))
        self.lower[rows, columns[rows]] = np.inf

    def upper_limit(self, squares: Array) -> Array:
        """Bound (n,) above which nothing is among the k nearest, given the best `squares` (n, k).

        It is the largest upper bound of the k candidates with the smallest lower bounds.
        """
        known = squares[:, -1] / self.unit
        k = squares.shape[1]
        if k >= self.lower.shape[1]:
            return known
        best = np.argpartition(self.lower, k - 1, axis=1)[:, :k]
        upper = np.take_along_axis(self.lower, best, axis=1) + self.column_slack[best]
        highest: Array = upper.max(axis=1) + self.row_slack
        return np.minimum(known, highest)


@dataclass(frozen=True)
class _Scaled:
    """Features shifted and scaled, in float32, and their squared norms."""

    rows: Float32s
    norms: Array


def _blocks(points: Features, candidates: Features) -> Iterator[Block]:
    """All blocks of the distance matrix; those of one point in the order of the candidates."""
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        centre, scale = _centre_and_scale(chunk)
        left = _rescale(chunk, centre, scale)
        for side in range(0, len(candidates), BLOCK_COLUMNS):
            right = _rescale(candidates[side : side + BLOCK_COLUMNS], centre, scale)
            for top in range(0, len(chunk), BLOCK_ROWS):
                rows = slice(top, top + BLOCK_ROWS)
                part = _Scaled(left.rows[rows], left.norms[rows])
                yield _block(part, right, start + top, side, scale**-2)


def _block(left: _Scaled, right: _Scaled, top: int, side: int, unit: float) -> Block:
    """Bounds of |x - y|^2 = |x|^2 + |y|^2 - 2 x.y computed in float32.

    Rounding of D products and sums in any order is below D eps |x||y| (Higham 2002, section 3.1),
    and 2 |x||y| below |x|^2 + |y|^2; 32 eps more are for shifting and adding up, and a little for
    numbers that underflow in float32.
    """
    error = (left.rows.shape[1] + 32) * 2.0**-24
    with np.errstate(over="ignore", invalid="ignore"):
        lower = left.rows @ (-2 * right.rows.T)
        lower += (left.norms * (1 - error) - 2.0**-100).astype(np.float32)[:, None]
        lower += (right.norms * (1 - error)).astype(np.float32)
    slack = 2 * error * left.norms + 2.0**-98, 2 * error * right.norms
    return Block(top, side, lower, *slack, unit)


def _centre_and_scale(points: Features) -> tuple[Array, float]:
    """Centre (D,) of points and a factor that brings them near 1, where float32 loses least."""
    centre = points.mean(axis=0, dtype=np.float64)
    largest = max(float(np.abs(points).max()), float(np.abs(centre).max()))
    if not np.isfinite(largest):
        raise not_finite_error()
    return centre, 2.0 ** -float(np.frexp(largest)[1])


def _rescale(points: Features, centre: Array, scale: float) -> _Scaled:
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.subtract(points, centre.astype(points.dtype)).astype(np.float32, copy=False)
        rows *= np.float32(scale)
        norms = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    if not np.isfinite(norms).all():
        raise not_finite_error()
    return _Scaled(rows, norms)


def _pairs_within(
    points: Features, candidates: Features, block: Block, radius: Array
) -> tuple[Indices, Indices]:
    """Indices (P,) of the points and (P,) of the candidates of all pairs within the radius."""
    height, width = block.lower.shape
    own = radius[block.top :][:height] if len(radius) > 1 else radius
    own = own[:, block.side :][:, :width] if radius.shape[1] > 1 else own
    squared = np.square(own) / block.unit
    above = np.nextafter(squared.astype(np.float32), np.float32(np.inf))
    left, right = np.nonzero(~(block.lower > above))
    limit = np.broadcast_to(own, block.lower.shape)[left, right]
    upper = block.lower[left, right] + block.row_slack[left] + block.column_slack[right]
    near = upper < np.square(limit) / block.unit * (1 - 1e-12)
    left, right = left + block.top, right + block.side
    undecided = np.flatnonzero(~near)
    exact = _exact_squares(points, candidates, left[undecided], right[undecided])
    near[undecided] = np.sqrt(exact) <= limit[undecided]
    return left[near], right[near]


def _exact_squares(points: Features, candidates: Features, left: Indices, right: Indices) -> Array:
    """Squared distances (P,) of P pairs in float64, without cancellation."""
    squares = np.empty(len(left))
    for start in range(0, len(left), EXACT_PAIRS):
        pairs = slice(start, start + EXACT_PAIRS)
        differences = points[left[pairs]].astype(np.float64) - candidates[right[pairs]]
        squares[pairs] = np.einsum("ij,ij->i", differences, differences)
    return squares


def _merge(
    squares: Array, indices: Indices, left: Indices, right: Indices, new_squares: Array
) -> None:
    """Merge the squares of pairs (left, right) into the k best of each point (n, k), in place."""
    count, k = squares.shape
    point = np.concatenate([np.repeat(np.arange(count), k), left])
    square = np.concatenate([squares.ravel(), new_squares])
    index = np.concatenate([indices.ravel(), right])
    order = np.lexsort((index, square, point))
    starts = np.searchsorted(point[order], np.arange(count))
    best = order[starts[:, None] + np.arange(k)]
    squares[:], indices[:] = square[best], index[best]
