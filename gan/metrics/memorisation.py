"""Does the generator repeat training images? One share, an exact test, and the closest pairs.

A generator that has learned the distribution comes as near to the training images as a hold-out
does; one that copies comes nearer. How near is told by a ratio, so that images of which there are
many, blurred ones and a collapsed generator's are not taken for copies: those lie near to several
training images, a copy to one. (The distance over that to the nearest others: Carlini et al. 2023,
arXiv:2301.13188; calibrated by a hold-out and a rank test: Meehan et al. 2020, arXiv:2004.05675.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from gan.errors import GanError
from gan.features.extraction import Features
from gan.features.feature_checks import check_features
from gan.features.statistics import Array
from gan.metrics.nearest_neighbours import nearest

NEIGHBOURS = 5  # as far as the fifth: up to three near-duplicates of an image hide no copy of it
MIN_HOLDOUT = 50  # hold-out images from which on a fifth of copies among the fakes is seen
QUANTILE = 0.01  # of the hold-out: nearer than that is near
DUPLICATE = 0.1  # a hold-out image as near as that repeats a training image: it tells nothing
ALARM = 0.001  # p-values below it
TIMES = 2  # so many times the expected share at least: many images find every small difference
PAIRS = 16

Rows = NDArray[np.int64]
WHOLE = (slice(None),)


@dataclass(frozen=True, slots=True)
class Closest:
    """A fake and its nearest training image, mirrored or not; indices of rows from 0.

    distance: Euclidean, in the first view. relative: by that to the fifth nearest, from 0 (a
    copy) to 1, the largest over the views.
    """

    fake: int
    row: int
    mirrored: bool
    distance: float
    relative: float


@dataclass(frozen=True, slots=True)
class Memorisation:
    """How many fakes come nearer to a training image than nearly all of the hold-out.

    share: of the fakes, in [0, 1]; `expected` of a generator as good as the hold-out. p_value:
    that such a generator has this share or a higher one. closest: the 16 nearest pairs.
    """

    share: float
    expected: float
    p_value: float
    suspicious: bool
    closest: tuple[Closest, ...]


@dataclass(frozen=True)
class _Near:
    """Of each point: (N,) relative distance, distance, row, and whether that is mirrored."""

    relative: Array
    distance: Array
    row: Rows
    mirrored: NDArray[np.bool_]


def memorisation(
    train: Features,
    holdout: Features,
    fakes: Features,
    views: Sequence[slice] = WHOLE,
    mirror: Rows | None = None,
) -> Memorisation:
    """Compare how near fakes (F, D) and hold-out (H, D) come to train (N, D).

    views: columns that are looked at on their own; an image is near only if it is in each of
    them. mirror: columns that give the features of a mirrored image, if copies may be mirrored.
    Raises GanError for fewer than 50 hold-out images, 5 different training images, or one fake.
    """
    _check(train, holdout, fakes)
    different = _different(train)
    # a whole memory map is read as it lies; only one with duplicates is copied
    among = train if len(different) == len(train) else train[different]
    known = _near(holdout, among, views, mirror).relative
    known = known[known >= DUPLICATE]
    _check_held(len(known))
    near = _near(fakes, among, views, mirror)
    rank = max(1, int(QUANTILE * len(known)))
    below = int(np.count_nonzero(near.relative < np.partition(known, rank - 1)[rank - 1]))
    share, expected = below / len(fakes), rank / (len(known) + 1)
    p_value = _p_value(below, len(fakes), rank, len(known))
    suspicious = p_value < ALARM and share >= TIMES * expected
    return Memorisation(share, expected, p_value, suspicious, _closest(near, different))


def _check(train: Features, holdout: Features, fakes: Features) -> None:
    check_features(train, holdout, fakes, least=1, purpose="memorisation")
    _check_held(len(holdout))


def _check_held(count: int) -> None:
    if count < MIN_HOLDOUT:
        raise GanError(
            f"memorisation: {count} hold-out images that repeat no training image are too few to "
            f"compare with, at least {MIN_HOLDOUT}; raise preprocess.holdout, or leave it "
            "out of evaluate.metrics"
        )


def _p_value(below: int, fakes: int, rank: int, holdout: int) -> float:
    """P(at least `below` fakes come before the `rank`-th hold-out image), were all alike.

    Then every order is equally likely, and that many do if and only if the first below + rank - 1
    of all hold at most rank - 1 of the hold-out: hypergeometric.
    """
    return float(hypergeom.cdf(rank - 1, fakes + holdout, holdout, below + rank - 1))


def _different(train: Features) -> Rows:
    """Rows, in order, without those that repeat an earlier one bit for bit."""
    first: dict[bytes, int] = {}
    for row, numbers in enumerate(np.asarray(train)):
        first.setdefault(blake2b(numbers.tobytes(), digest_size=16).digest(), row)
    return np.fromiter(first.values(), dtype=np.int64)


def _near(points: Features, among: Features, views: Sequence[slice], mirror: Rows | None) -> _Near:
    """Look at the points in each view; the nearest row is that of the first."""
    found = [_neighbours(points, among, view, mirror) for view in views]
    distances, rows, mirrored = found[0]
    relative = np.max([_relative(each) for each, _, _ in found], axis=0)
    return _Near(relative, distances[:, 0], rows[:, 0], mirrored)


def _relative(distances: Array) -> Array:
    """Nearest over farthest of the neighbours (N, k); 0 where both are 0."""
    scale = distances[:, -1]
    return np.divide(distances[:, 0], scale, out=np.zeros_like(scale), where=scale > 0)


def _neighbours(
    points: Features, among: Features, view: slice, mirror: Rows | None
) -> tuple[Array, Rows, NDArray[np.bool_]]:
    """Distances and rows (N, 5) of the nearest, and (N,) whether the first is mirrored.

    A mirrored point is as far from an image as the point is from the mirrored image.
    """
    distances, rows = nearest(points[:, view], among[:, view], NEIGHBOURS)
    if mirror is None:
        return distances, rows, np.zeros(len(points), dtype=np.bool_)
    others, other_rows = nearest(points[:, mirror][:, view], among[:, view], NEIGHBOURS)
    mirrored = others[:, 0] < distances[:, 0]
    both = np.concatenate([distances, others], axis=1)
    return *_each_row_once(both, np.concatenate([rows, other_rows], axis=1)), mirrored


def _each_row_once(distances: Array, rows: Rows) -> tuple[Array, Rows]:
    """The nearest five of each line, and no row twice."""
    distances, rows = _ordered(distances, rows)
    for column in range(1, rows.shape[1]):
        again = (rows[:, :column] == rows[:, column, None]).any(axis=1)
        distances[again, column] = np.inf
    distances, rows = _ordered(distances, rows)
    return distances[:, :NEIGHBOURS], rows[:, :NEIGHBOURS]


def _ordered(distances: Array, rows: Rows) -> tuple[Array, Rows]:
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _closest(near: _Near, different: Rows) -> tuple[Closest, ...]:
    """The nearest pairs by relative distance; each training image once, while there are others."""
    order = np.lexsort((near.distance, near.relative))
    first = np.sort(np.unique(near.row[order], return_index=True)[1])
    again = np.setdiff1d(np.arange(len(order)), first)
    chosen = np.sort(np.concatenate([first, again])[:PAIRS])
    return tuple(
        Closest(
            int(fake),
            int(different[near.row[fake]]),
            bool(near.mirrored[fake]),
            float(near.distance[fake]),
            float(near.relative[fake]),
        )
        for fake in order[chosen]
    )
