"""Checks of the features that metrics are given, and subsampling of large sets."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.features.statistics import Features

MAX_IMAGES = 10_000  # on a side, for metrics over all pairs


def check_features(*sets: NDArray[np.floating], least: int, purpose: str) -> None:
    """Raise GanError unless all sets are (N, D) with the same D and N of at least `least`."""
    for one, other in pairwise((sets[0], *sets)):
        if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
            raise GanError(
                f"{purpose}: features of shapes {one.shape} and {other.shape} cannot be compared; "
                "give (images, features), all of one extractor"
            )
    count = min(len(each) for each in sets)
    if count < least:
        raise GanError(f"{purpose}: {count} images are too few; give at least {least}")


def not_finite_error() -> GanError:
    """The error of features that hold infinite or undefined numbers."""
    return GanError("features hold infinite or undefined numbers; compute them again")


def subsample(features: Features, most: int = MAX_IMAGES) -> Features:
    """At most `most` features, evenly spaced over the set, so that no random draw is needed."""
    if len(features) <= most:
        return features
    return features[np.arange(most) * len(features) // most]
