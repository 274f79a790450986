"""FID-infinity: the Fréchet distance extrapolated to an infinite number of fakes."""

import numpy as np

from gan.features.statistics import Features, Statistics, statistics_of
from gan.metrics.frechet_distance import Gaussian
from gan.metrics.metric import Metric, Number, check_features

ORDER_SEED = 2020  # of the permutation that splits the fakes into halves


def fakes_needed(dimensions: int) -> int:
    """Fewest fakes that can be extrapolated from: each half must have more images than dimensions.

    Otherwise its covariance is singular, and the distance no longer linear in 1 / count.
    """
    return 2 * (dimensions + 1)


def frechet_infinity(real: Statistics, fake: Features) -> float:
    """Fréchet distance of real statistics and fake features (N, D), extrapolated to N = infinity.

    Chong and Forsyth 2020 (arXiv:1911.07023), equation 7: the distance of N fakes is too large by
    about c / N, so the result is the intercept of a line over 1 / N. Here the line goes through
    two counts: N, and N / 2 as the mean over both halves. Two halves hold every image once, as the
    whole does, so that their sampling noise cancels in the slope; counts near N keep the nonlinear
    part small. Random subsets of N / 5 to N are worse in both respects.

    The bias by the number of real images remains. Unbiased to first order, so it may be slightly
    below zero if fakes are like real images; clipping it would be a bias again. Raises GanError
    with fewer than `fakes_needed`, and as `frechet_distance`.
    """
    least = fakes_needed(real.mean.size)
    check_features(fake, least=least, purpose="FID-infinity")
    gaussian = Gaussian.of(real)
    whole = gaussian.distance(statistics_of(fake))
    halves = np.array_split(np.random.RandomState(ORDER_SEED).permutation(len(fake)), 2)
    half = np.mean([gaussian.distance(statistics_of(fake[np.sort(rows)])) for rows in halves])
    at_whole, at_half = 1 / len(fake), np.mean([1 / len(rows) for rows in halves])
    slope = (half - whole) / (at_half - at_whole)
    return float(whole - slope * at_whole)


METRIC = Metric(
    (
        Number(
            "infinity",
            "Fréchet distance at infinite sample size",
            "lower",
            "Fréchet distance extrapolated from several sample sizes to infinitely many fakes, "
            "which removes the bias of a finite sample; with Inception it is FID-infinity.",
            "Chong and Forsyth 2020, arXiv:1911.07023",
            prefix="fd_inf",
            inception_prefix="fid_inf",
            rank=2,
            chief=True,
        ),
    ),
    lambda real, fake: {"infinity": frechet_infinity(real.statistics, fake.vectors)},
    biased=True,
    needs_features=False,
    min_fakes=fakes_needed,
)
