"""Euclidean distances between sets of features too many for one matrix, and exact all the same.

A product of float32 matrices gives every squared distance within known bounds. Where those leave
a question open, the pair is computed again straight, in float64: so answers are those of float64
whatever the blocks, also for points that are almost equal.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gan.features.extraction import Features
from gan.features.feature_checks import check_features, not_finite_error
from gan.features.statistics import Array

Indices = NDArray[np.int64]
Singles = NDArray[np.float32]

CHUNK = 16_384  # points that meet `among` together: a memory map is read once for so many
POINTS = 1024  # rows of a block of the matrix
AMONG = 4096  # and its columns
STRAIGHT = 512  # pairs that are computed again at once


def nearest(
    points: Features, among: Features, k: int, *, skip_self: bool = False
) -> tuple[Array, Indices]:
    """Distances (N, k) float64, ascending, and rows (N, k) of the k nearest of `among`.

    points (N, D), among (M, D), which may be a memory map: memory stays bounded. Equal distances
    stand in the order of their rows. skip_self: points is among, and no point is its own
    neighbour. Raises GanError with fewer than k neighbours and for features that are not finite.
    """
    check_features(points, among, least=1, purpose="nearest neighbours")
    check_features(among, least=k + skip_self, purpose=f"{k} nearest neighbours")
    squares = np.full((len(points), k), np.inf)
    rows = np.full((len(points), k), len(among), dtype=np.int64)
    for block in _blocks(points, among):
        here = slice(block.top, block.top + len(block.low))
        if skip_self:
            block.leave_out_diagonal()
        limit = block.limit(squares[here])
        left, right = np.nonzero(~(block.low > limit[:, None]))  # undefined ones count as near
        if skip_self:
            others = left + block.top != right + block.side
            left, right = left[others], right[others]
        found = _straight(points, among, left + block.top, right + block.side)
        _merge(squares[here], rows[here], left, right + block.side, found)
    return np.sqrt(squares), rows


@dataclass
class Counts:
    """How many of the other set are near each of points (N,) and each of among (M,)."""

    points: Indices
    among: Indices

    @classmethod
    def zeros(cls, points: int, among: int) -> Self:
        return cls(np.zeros(points, dtype=np.int64), np.zeros(among, dtype=np.int64))


def within(points: Features, among: Features, limits: Sequence[Array]) -> list[Counts]:
    """Count for each row of points (N, D) and of among (M, D) those of the other set near it.

    Near is a distance up to a limit (1, M), a radius around each of among, or (N, 1), one around
    each of points. One pass for all limits; distances as exact as those of `nearest`.
    """
    check_features(points, among, least=1, purpose="balls around features")
    counts = [Counts.zeros(len(points), len(among)) for _ in limits]
    for block in _blocks(points, among):
        for limit, count in zip(limits, counts, strict=True):
            left, right = _near(points, among, block, limit)
            count.points += np.bincount(left, minlength=len(points))
            count.among += np.bincount(right, minlength=len(among))
    return counts


@dataclass(frozen=True)
class Block:
    """Squared distances of some points (from row `top` on) to some of among (from `side` on).

    They are in units of `unit`. The true one is not below low (n, m), and not above low + slack
    of its row (n,) + slack of its column (m,).
    """

    top: int
    side: int
    low: Singles
    rows: Array
    columns: Array
    unit: float

    def leave_out_diagonal(self) -> None:
        """Put every point infinitely far from itself."""
        at = np.arange(len(self.low)) + self.top - self.side
        inner = np.flatnonzero((at >= 0) & (at < self.low.shape[1]))
        self.low[inner, at[inner]] = np.inf

    def limit(self, squares: Array) -> Array:
        """(n,): nothing above it can be among the k nearest, of which `squares` (n, k) are known.

        The k candidates that look nearest have true distances below their upper bounds.
        """
        known = squares[:, -1] / self.unit
        k = squares.shape[1]
        if k >= self.low.shape[1]:
            return known
        best = np.argpartition(self.low, k - 1, axis=1)[:, :k]
        upper = np.take_along_axis(self.low, best, axis=1) + self.columns[best]
        highest: Array = upper.max(axis=1) + self.rows
        return np.minimum(known, highest)


@dataclass(frozen=True)
class _Prepared:
    """Rows shifted and scaled, in float32, with their squared norms."""

    rows: Singles
    norms: Array


def _blocks(points: Features, among: Features) -> Iterator[Block]:
    """All blocks of the matrix; those of one point come in the order of `among`."""
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        centre, scale = _frame(chunk)
        left = _prepare(chunk, centre, scale)
        for side in range(0, len(among), AMONG):
            right = _prepare(among[side : side + AMONG], centre, scale)
            for top in range(0, len(chunk), POINTS):
                some = slice(top, top + POINTS)
                part = _Prepared(left.rows[some], left.norms[some])
                yield _block(part, right, start + top, side, scale**-2)


def _block(left: _Prepared, right: _Prepared, top: int, side: int, unit: float) -> Block:
    """Bounds of |x - y|^2 = |x|^2 + |y|^2 - 2 x.y computed in float32.

    Rounding of D products and sums in any order is below D eps |x||y| (Higham 2002, section 3.1),
    and 2 |x||y| below |x|^2 + |y|^2; 32 eps more are for shifting and adding up, and a little for
    what is too small for float32.
    """
    error = (left.rows.shape[1] + 32) * 2.0**-24
    with np.errstate(over="ignore", invalid="ignore"):
        low = left.rows @ (-2 * right.rows.T)
        low += (left.norms * (1 - error) - 2.0**-100).astype(np.float32)[:, None]
        low += (right.norms * (1 - error)).astype(np.float32)
    slack = 2 * error * left.norms + 2.0**-98, 2 * error * right.norms
    return Block(top, side, low, *slack, unit)


def _frame(points: Features) -> tuple[Array, float]:
    """The centre (D,) of points and a factor that takes them near 1: float32 loses least there."""
    centre = points.mean(axis=0, dtype=np.float64)
    largest = max(float(np.abs(points).max()), float(np.abs(centre).max()))
    if not np.isfinite(largest):
        raise not_finite_error()
    return centre, 2.0 ** -float(np.frexp(largest)[1])


def _prepare(points: Features, centre: Array, scale: float) -> _Prepared:
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.subtract(points, centre.astype(points.dtype)).astype(np.float32, copy=False)
        rows *= np.float32(scale)
        norms = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    if not np.isfinite(norms).all():
        raise not_finite_error()
    return _Prepared(rows, norms)


def _near(
    points: Features, among: Features, block: Block, limit: Array
) -> tuple[Indices, Indices]:
    """Rows (P,) of points and (P,) of among whose pairs, all in a block, are within a limit."""
    height, width = block.low.shape
    here = limit[block.top :][:height] if len(limit) > 1 else limit
    here = here[:, block.side :][:, :width] if limit.shape[1] > 1 else here
    squared = np.square(here) / block.unit
    above = np.nextafter(squared.astype(np.float32), np.float32(np.inf))
    left, right = np.nonzero(~(block.low > above))
    radius = np.broadcast_to(here, block.low.shape)[left, right]
    high = block.low[left, right] + block.rows[left] + block.columns[right]
    near = high < np.square(radius) / block.unit * (1 - 1e-12)
    left, right = left + block.top, right + block.side
    doubtful = np.flatnonzero(~near)
    found = _straight(points, among, left[doubtful], right[doubtful])
    near[doubtful] = np.sqrt(found) <= radius[doubtful]
    return left[near], right[near]


def _straight(points: Features, among: Features, left: Indices, right: Indices) -> Array:
    """Squared distances (P,) of P pairs of rows, computed without cancellation."""
    found = np.empty(len(left))
    for start in range(0, len(left), STRAIGHT):
        some = slice(start, start + STRAIGHT)
        apart = points[left[some]].astype(np.float64) - among[right[some]]
        found[some] = np.einsum("ij,ij->i", apart, apart)
    return found


def _merge(squares: Array, rows: Indices, left: Indices, right: Indices, found: Array) -> None:
    """Put `found` squares of pairs (left, right) among the best (n, k) so far, in place."""
    count, k = squares.shape
    who = np.concatenate([np.repeat(np.arange(count), k), left])
    square = np.concatenate([squares.ravel(), found])
    row = np.concatenate([rows.ravel(), right])
    order = np.lexsort((row, square, who))
    starts = np.searchsorted(who[order], np.arange(count))
    best = order[starts[:, None] + np.arange(k)]
    squares[:], rows[:] = square[best], row[best]
