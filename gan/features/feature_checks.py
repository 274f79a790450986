"""What metrics ask of the features they are given, and which rows of many they take."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.features.extraction import Features

MAX_IMAGES = 10_000  # images of a side that metrics of all pairs look at


def check_features(*sets: NDArray[np.floating], least: int, purpose: str) -> None:
    """Raise GanError unless all are (N, D) with one D and at least `least` rows each."""
    for one, other in pairwise((sets[0], *sets)):
        if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
            raise GanError(
                f"{purpose}: features of shapes {one.shape} and {other.shape} cannot be compared; "
                "give (images, numbers), all of one extractor"
            )
    count = min(len(each) for each in sets)
    if count < least:
        raise GanError(f"{purpose}: {count} images are too few; give at least {least}")


def not_finite_error() -> GanError:
    """The error of features that hold infinite or undefined numbers."""
    return GanError("features hold infinite or undefined numbers; compute them again")


def subsample(features: Features, most: int = MAX_IMAGES) -> Features:
    """At most `most` rows, evenly spaced from first to last: no chance, whole file, in order."""
    if len(features) <= most:
        return features
    return features[np.arange(most) * len(features) // most]
