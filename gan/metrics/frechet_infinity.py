"""The Fréchet distance that endlessly many fakes would have, extrapolated from those there are."""

import numpy as np

from gan.features.extraction import Features
from gan.features.feature_checks import check_features
from gan.features.statistics import Statistics, statistics_of
from gan.metrics.frechet_distance import Gaussian

ORDER = 2020  # seed of the order in which fakes are cut in halves


def fakes_needed(dimensions: int) -> int:
    """How many fakes can be extrapolated from: halves with fewer images than dimensions cannot.

    Their covariances are singular, and the distance does not go with 1 / count any more.
    """
    return 2 * (dimensions + 1)


def frechet_infinity(real: Statistics, fake: Features) -> float:
    """Fréchet distance of real statistics and fake features (N, D), extrapolated to N = infinity.

    Chong and Forsyth 2020 (arXiv:1911.07023), equation 7: the distance of N fakes is too large by
    about c / N, so the intercept of a line over 1 / N is wanted. Here the line goes through two
    counts: N, and N / 2 as the mean over both halves. Halves that hold each image once have
    the same chance in them as the whole, so that it drops out of the slope, and counts near N
    keep what is not linear small; drawn subsets of N / 5 to N do worse in both ways.

    Only for the fakes: what the count of real images adds stays in. Unbiased to first order, so
    it may be slightly below zero if fakes are like real images, and is not cut off there: that
    would be a bias again. Raises GanError with fewer than `fakes_needed`, and for what
    `frechet_distance` refuses.
    """
    least = fakes_needed(real.mean.size)
    check_features(fake, least=least, purpose="distance of endlessly many fakes")
    ready = Gaussian.of(real)
    whole = ready.distance(statistics_of(fake))
    halves = np.array_split(np.random.RandomState(ORDER).permutation(len(fake)), 2)
    half = np.mean([ready.distance(statistics_of(fake[np.sort(rows)])) for rows in halves])
    at_whole, at_half = 1 / len(fake), np.mean([1 / len(rows) for rows in halves])
    slope = (half - whole) / (at_half - at_whole)
    return float(whole - slope * at_whole)
