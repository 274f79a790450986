"""Memorisation of training images: a share of the fakes, an exact test, and the closest pairs.

A generator that has learned the distribution comes as near to the training images as the hold-out;
one that copies comes nearer. Nearness is the distance to the nearest training image relative to
that of the next ones: a copy is near to one image, while frequent motifs, blurred fakes and those
of a collapsed generator are near to several. (Relative distance: Carlini et al. 2023,
arXiv:2301.13188; calibration by a hold-out and a rank test: Meehan et al. 2020, arXiv:2004.05675.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.features.statistics import Array, Features
from gan.metrics.metric import Metric, Number, check_features
from gan.metrics.nearest_neighbours import Indices, nearest_neighbours

NEIGHBOURS = 5  # so that up to three near-duplicates of a training image hide no copy of it
MIN_HOLDOUT = 50  # hold-out images, which detect a fifth of copies among the fakes
QUANTILE = 0.01  # of the hold-out's relative distances; below it a fake is near
DUPLICATE = 0.1  # relative distance below which a hold-out image is a duplicate, and left out
ALARM = 0.001  # p-value below which the share is suspicious
MIN_RATIO = 2  # to the expected share; with many fakes tiny differences are significant too
CLOSEST_PAIRS = 16

WHOLE = (slice(None),)


@dataclass(frozen=True, slots=True)
class Closest:
    """A fake and its nearest training image, which may be mirrored; by their indices.

    distance: Euclidean, in the first view. relative: divided by that to the fifth nearest, from 0
    (a copy) to 1, the largest over the views.
    """

    fake: int
    row: int
    mirrored: bool
    distance: float
    relative: float


@dataclass(frozen=True, slots=True)
class Memorisation:
    """Share of the fakes that are nearer to a training image than nearly all of the hold-out.

    expected: the share of a generator as good as the hold-out. p_value: probability that such a
    generator has this share or a higher one. closest: the 16 nearest pairs.
    """

    share: float
    expected: float
    p_value: float
    suspicious: bool
    closest: tuple[Closest, ...]


@dataclass(frozen=True)
class _Nearest:
    """Nearest training image of each point (N,): distances, index, whether it is mirrored."""

    relative: Array
    distance: Array
    index: Indices
    mirrored: NDArray[np.bool_]


def memorisation(
    train: Features,
    holdout: Features,
    fakes: Features,
    views: Sequence[slice] = WHOLE,
    mirror: Indices | None = None,
) -> Memorisation:
    """Compare the distances of fakes (F, D) and hold-out (H, D) to training images (N, D).

    views: groups of columns; an image is near only if it is near in every group. mirror: the
    permutation of columns that mirrors an image, if copies may be mirrored. Raises GanError for
    fewer than 50 hold-out images, 5 different training images, or one fake.
    """
    check_features(train, holdout, fakes, least=1, purpose="memorisation")
    _check_holdout(len(holdout))
    distinct = _distinct(train)
    # only a memory map with duplicates is copied
    originals = train if len(distinct) == len(train) else train[distinct]
    held_out = _nearest(holdout, originals, views, mirror).relative
    held_out = held_out[held_out >= DUPLICATE]
    _check_holdout(len(held_out))
    near = _nearest(fakes, originals, views, mirror)
    rank = max(1, int(QUANTILE * len(held_out)))
    below = int(np.count_nonzero(near.relative < np.partition(held_out, rank - 1)[rank - 1]))
    share, expected = below / len(fakes), rank / (len(held_out) + 1)
    p_value = _p_value(below, len(fakes), rank, len(held_out))
    suspicious = p_value < ALARM and share >= MIN_RATIO * expected
    return Memorisation(share, expected, p_value, suspicious, _closest(near, distinct))


def _check_holdout(count: int) -> None:
    if count < MIN_HOLDOUT:
        raise GanError(
            f"memorisation: {count} hold-out images without duplicates of training images, but it "
            f"needs {MIN_HOLDOUT}; raise preprocess.holdout, or leave memorisation out of "
            "evaluate.metrics"
        )


def _p_value(below: int, fakes: int, rank: int, holdout: int) -> float:
    """P(at least `below` fakes are nearer than the `rank`-th hold-out image) if all are alike.

    Then every order is equally likely, and this happens if and only if the first below + rank - 1
    images hold at most rank - 1 of the hold-out: hypergeometric.
    """
    from scipy.stats import hypergeom  # takes a second; `gan compare` reads METRIC only

    return float(hypergeom.cdf(rank - 1, fakes + holdout, holdout, below + rank - 1))


def _distinct(train: Features) -> Indices:
    """Indices of the images, in order, without bit-for-bit repetitions of earlier ones."""
    first: dict[bytes, int] = {}
    for index, vector in enumerate(np.asarray(train)):
        first.setdefault(blake2b(vector.tobytes(), digest_size=16).digest(), index)
    return np.fromiter(first.values(), dtype=np.int64)


def _nearest(
    points: Features, originals: Features, views: Sequence[slice], mirror: Indices | None
) -> _Nearest:
    """Find each point's nearest original; relative distances are the largest over the views."""
    neighbours = [_neighbours(points, originals, view, mirror) for view in views]
    distances, indices, mirrored = neighbours[0]
    relative = np.max([_relative(each) for each, _, _ in neighbours], axis=0)
    return _Nearest(relative, distances[:, 0], indices[:, 0], mirrored)


def _relative(distances: Array) -> Array:
    """Distance to the nearest over that to the farthest neighbour (N, k); 0 if both are 0."""
    scale = distances[:, -1]
    return np.divide(distances[:, 0], scale, out=np.zeros_like(scale), where=scale > 0)


def _neighbours(
    points: Features, originals: Features, view: slice, mirror: Indices | None
) -> tuple[Array, Indices, NDArray[np.bool_]]:
    """Distances and indices (N, 5) of the nearest, and (N,) whether the first is mirrored.

    A mirrored point is as far from an image as the point is from the mirrored image.
    """
    distances, indices = nearest_neighbours(points[:, view], originals[:, view], NEIGHBOURS)
    if mirror is None:
        return distances, indices, np.zeros(len(points), dtype=np.bool_)
    flipped = points[:, mirror][:, view]
    flipped_distances, flipped_indices = nearest_neighbours(
        flipped, originals[:, view], NEIGHBOURS
    )
    mirrored = flipped_distances[:, 0] < distances[:, 0]
    distances = np.concatenate([distances, flipped_distances], axis=1)
    indices = np.concatenate([indices, flipped_indices], axis=1)
    return *_drop_repeated(distances, indices), mirrored


def _drop_repeated(distances: Array, indices: Indices) -> tuple[Array, Indices]:
    """The five nearest of each point, with no index twice."""
    distances, indices = _sort(distances, indices)
    for column in range(1, indices.shape[1]):
        repeated = (indices[:, :column] == indices[:, column, None]).any(axis=1)
        distances[repeated, column] = np.inf
    distances, indices = _sort(distances, indices)
    return distances[:, :NEIGHBOURS], indices[:, :NEIGHBOURS]


def _sort(distances: Array, indices: Indices) -> tuple[Array, Indices]:
    order = np.argsort(distances, axis=1, kind="stable")
    return (
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(indices, order, axis=1),
    )


def _closest(near: _Nearest, distinct: Indices) -> tuple[Closest, ...]:
    """The nearest pairs by relative distance, of different training images as far as possible."""
    order = np.lexsort((near.distance, near.relative))
    first = np.sort(np.unique(near.index[order], return_index=True)[1])
    repeated = np.setdiff1d(np.arange(len(order)), first)
    chosen = np.sort(np.concatenate([first, repeated])[:CLOSEST_PAIRS])
    return tuple(
        Closest(
            int(fake),
            int(distinct[near.index[fake]]),
            bool(near.mirrored[fake]),
            float(near.distance[fake]),
            float(near.relative[fake]),
        )
        for fake in order[chosen]
    )


PAPER = "After Meehan et al. 2020, arXiv:2004.05675, and Carlini et al. 2023, arXiv:2301.13188"

METRIC = Metric(
    (
        Number(
            "memorisation",
            "Memorisation",
            "lower",
            "Share of the fakes that lie closer to one training image than nearly all hold-out "
            "images do.",
            PAPER,
        ),
        Number(
            "memorisation_p",
            "Memorisation, p-value",
            "neither",
            "Probability of at least that share for a generator that memorised nothing; a small "
            "one is evidence of copies.",
            PAPER,
        ),
    )
)
