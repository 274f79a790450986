"""Fréchet distance between two Gaussians, in float64 and without a matrix square root."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import eigvalsh
from scipy.linalg.lapack import dpstrf

from gan.errors import GanError
from gan.features.statistics import Array, Statistics
from gan.metrics.metric import Metric, Number

TOLERANCE = 1e-7  # of the traces, for rounding; anything larger is an error


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Squared Fréchet distance |ma - mb|^2 + tr(A + B - 2 (A B)^(1/2)), never negative.

    Equal to pytorch-fid's value by scipy's sqrtm, also for singular covariances, which result from
    fewer images than dimensions. Heusel et al. 2017 (arXiv:1706.08500), equation 6. Raises
    GanError if sizes differ or a matrix is not a covariance.
    """
    return Gaussian.of(a).distance(b)


@dataclass(frozen=True)
class Gaussian:
    """One side of a distance, factorised once for many comparisons."""

    statistics: Statistics
    factor: Array

    @classmethod
    def of(cls, statistics: Statistics) -> Self:
        """Check and factorise statistics; GanError if they are not finite or not a covariance."""
        if not (np.isfinite(statistics.mean).all() and np.isfinite(statistics.covariance).all()):
            raise GanError("statistics hold infinite or undefined numbers; compute them again")
        return cls(statistics, _factor(statistics.covariance))

    def distance(self, other: Statistics) -> float:
        """The `frechet_distance` to other statistics."""
        own = self.statistics
        if own.mean.shape != other.mean.shape:
            sizes = f"{own.mean.size} and {other.mean.size}"
            raise GanError(
                f"statistics of {sizes} features cannot be compared; use one extractor for both"
            )
        gaussian = Gaussian.of(other)
        traces = float(np.trace(own.covariance) + np.trace(other.covariance))
        shift = own.mean - other.mean
        spread = traces - 2.0 * _trace_of_root(self, gaussian)
        rest = _clip_rounding(spread, traces, "distance of covariances")
        return float(shift @ shift) + rest


def _trace_of_root(a: Gaussian, b: Gaussian) -> float:
    """Trace of (A B)^(1/2): with A = F F^T, A B has the eigenvalues of F^T B F.

    This matrix is symmetric, so they are real. The factor with fewer columns leaves no
    structural zeros, whose rounding errors (1e-16) would grow by the root (1e-8).
    """
    few, many = (a, b) if a.factor.shape[1] <= b.factor.shape[1] else (b, a)
    if few.factor.shape[1] == 0:
        return 0.0
    product = few.factor.T @ many.statistics.covariance @ few.factor
    eigenvalues = eigvalsh((product + product.T) / 2.0, driver="evd", overwrite_a=True)
    _clip_rounding(float(eigenvalues[0]), float(np.trace(product)), "eigenvalue of a product")
    return float(np.sqrt(np.maximum(eigenvalues, 0.0)).sum())


def _factor(covariance: Array) -> Array:
    """Factor F (D, rank) with F F^T = covariance, by pivoted Cholesky for any rank."""
    triangle, pivots, rank, _ = dpstrf(covariance, lower=1)
    factor = np.zeros((len(covariance), rank))
    factor[pivots - 1] = np.tril(triangle)[:, :rank]
    rest = np.diagonal(covariance) - np.square(factor).sum(axis=1)
    if np.abs(rest).max() > TOLERANCE * max(float(np.trace(covariance)), 0.0):
        raise GanError("statistics hold a matrix that is not a covariance; compute them again")
    return factor


def _clip_rounding(value: float, scale: float, name: str) -> float:
    """Set rounding errors below zero to zero; GanError for more than rounding explains."""
    if value < -TOLERANCE * scale:
        raise GanError(f"{name} is {value:.3g}, which rounding cannot explain; the statistics "
                       "are damaged: compute them again")  # fmt: skip
    return max(value, 0.0)


FRECHET = Number(
    "frechet",
    "Fréchet distance",
    "lower",
    "Distance between Gaussians fitted to the features of fakes and of real images; with "
    "Inception it is FID. It falls with the number of images: compare equal counts only.",
    "Heusel et al. 2017, arXiv:1706.08500",
    prefix="fd",
    inception_prefix="fid",
    rank=1,
    chief=True,
)
METRIC = Metric(
    (FRECHET,),
    lambda real, fake: {"frechet": frechet_distance(real.statistics, fake.statistics)},
    biased=True,
    needs_features=False,
)
