"""Mean and covariance of features, in one pass and in float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gan.errors import GanError

Array = NDArray[np.float64]

Features = NDArray[np.float32]
"""(N, D), in memory or a memory map; row i belongs to image i."""

ROWS = 1024  # feature vectors added at once


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of `count` feature vectors.

    mean (D,) float64; covariance (D, D) float64, unbiased (divided by count - 1). count is None
    if a file of another program does not hold it.
    """

    mean: Array
    covariance: Array
    count: int | None


@dataclass(frozen=True)
class FeatureSet:
    """Features of one set of images by one extractor, and their statistics.

    features is None if only statistics are known, as of a file that another program wrote.
    """

    statistics: Statistics
    features: Features | None

    @property
    def vectors(self) -> Features:
        """The feature vectors (N, D); ValueError if only statistics are known."""
        if self.features is None:
            raise ValueError("only mean and covariance are known")
        return self.features

    @property
    def count(self) -> int:
        """Number of images; ValueError if it is unknown."""
        if self.statistics.count is None:
            raise ValueError("the number of these images is unknown")
        return self.statistics.count


def statistics_of(features: Features) -> Statistics:
    """Statistics of features (N, D), read ROWS at a time; GanError if N is less than two.

    The fixed step makes equal features give equal statistics, to the bit.
    """
    statistics = StreamingStatistics(features.shape[1])
    for start in range(0, len(features), ROWS):
        statistics.add(features[start : start + ROWS])
    return statistics.result()


class StreamingStatistics:
    """Accumulates statistics over batches of features.

    Batches are centred before they are merged (Chan, Golub and LeVeque 1979), so that features
    far from zero lose no digits.
    """

    def __init__(self, dimensions: int) -> None:
        self._count = 0
        self._mean: Array = np.zeros(dimensions)
        self._scatter: Array = np.zeros((dimensions, dimensions))

    def add(self, features: ArrayLike) -> None:
        """Add features (N, D) of any float type."""
        batch = np.array(features, dtype=np.float64, order="C")
        if batch.ndim != 2 or batch.shape[1] != self._mean.size:
            raise ValueError(f"features are {batch.shape}, expected (N, {self._mean.size})")
        if len(batch) == 0:
            return
        mean = batch.mean(axis=0)
        centred = batch - mean
        shift = mean - self._mean
        total = self._count + len(batch)
        self._scatter += centred.T @ centred
        self._scatter += np.outer(shift, shift) * (self._count * len(batch) / total)
        self._mean += shift * (len(batch) / total)
        self._count = total

    def result(self) -> Statistics:
        """Statistics of all features so far; GanError if there are fewer than two vectors."""
        if self._count < 2:
            raise GanError(f"{self._count} images have no covariance; give at least 2")
        return Statistics(self._mean.copy(), self._scatter / (self._count - 1), self._count)
