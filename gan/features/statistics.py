"""Mean and covariance of features, in one pass and in float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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

    The fixed step makes equal features give equal statistics, to the bit. Parts are centred before
    they are merged (Chan, Golub and LeVeque 1979), so that features far from zero lose no digits.
    """
    if len(features) < 2:
        raise GanError(f"{len(features)} images have no covariance; give at least 2")
    count, mean = 0, np.zeros(features.shape[1])
    scatter = np.zeros((mean.size, mean.size))
    for start in range(0, len(features), ROWS):
        part = np.array(features[start : start + ROWS], dtype=np.float64, order="C")
        part_mean = part.mean(axis=0)
        centred, shift = part - part_mean, part_mean - mean
        total = count + len(part)
        scatter += centred.T @ centred
        scatter += np.outer(shift, shift) * (count * len(part) / total)
        mean += shift * (len(part) / total)
        count = total
    return Statistics(mean, scatter / (count - 1), count)
