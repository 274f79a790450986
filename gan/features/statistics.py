"""Mean and covariance of features, in one pass and in float64."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gan.errors import GanError

Array = NDArray[np.float64]

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


def statistics_of(features: NDArray[np.float32]) -> Statistics:
    """Statistics of features (N, D), read ROWS at a time; GanError if N is less than two.

    The fixed step makes equal features give equal statistics, to the bit.
    """
    statistics = StreamingStatistics(features.shape[1])
    for start in range(0, len(features), ROWS):
        statistics.add(torch.from_numpy(np.array(features[start : start + ROWS])))
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

    def add(self, features: torch.Tensor) -> None:
        """Add features (N, D) of any float type and device."""
        batch = features.detach().to("cpu", torch.float64).numpy()
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
