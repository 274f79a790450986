"""Definition of a metric: its numbers, their meaning and computation; checks of features."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.features.statistics import Features, FeatureSet

ENOUGH_IMAGES = 2048
"""Images on each side; with fewer, a distance of 2,048 features depends mostly on their number."""

MAX_IMAGES = 10_000  # on a side, for metrics over all pairs

Better = Literal["lower", "higher", "neither"]
Size = tuple[int, int]
"""(height, width) of an image in pixels."""

Item = TypeVar("Item", bound=np.generic)


@dataclass(frozen=True)
class Number:
    """One number of a metric, and its explanation for somebody who sees it for the first time.

    name: in evaluation.json. prefix: beginning of its keys before the extractor's name.
    inception_prefix: the same with pytorch-fid's Inception, where no name follows. rank: place
    among the numbers to rank runs by, the most trusted first; None if it can't rank any. chief:
    stands in the summary of a report and in tables of runs. extractor: the only one that it can be
    of, which its keys then leave out.
    """

    name: str
    title: str
    better: Better
    text: str
    paper: str
    prefix: str = ""
    inception_prefix: str = ""
    rank: int | None = None
    chief: bool = False
    extractor: str = ""

    @property
    def prefixes(self) -> set[str]:
        """Beginnings of its keys."""
        return {self.prefix or self.name, self.inception_prefix} - {""}


@dataclass(frozen=True)
class Descriptor:
    """A feature extractor without a network: plain arithmetic on the pixels of one size of image.

    describe: from images (n, 3, H, W) uint8, features (n, dimensions) float32, those of an image
    whatever comes with it. compare: from features of real images and of fakes, values by the
    numbers' names. protocol: all that decides the values, in one line.
    """

    name: str
    dimensions: int
    protocol: str
    describe: Callable[[NDArray[np.uint8]], Features]
    compare: Callable[[Features, Features], Mapping[str, float]]
    precision: Literal["float32"] = "float32"

    @property
    def digest(self) -> str:
        """Hex sha256 of the protocol."""
        return hashlib.sha256(self.protocol.encode()).hexdigest()


@dataclass(frozen=True)
class Metric:
    """Numbers of a metric, how they are computed, and what that needs.

    compare: from features of real images and of fakes, values by the numbers' names. judge: the
    same from class logits of fakes alone. pixels: the descriptor of images of a size, which both
    computes and compares features; GanError for a size that it can't. None of them is set for
    memorisation, which compares with both splits of the cache. biased: depends so much on the
    sample size that few images need `allow_small`. needs_features: of the real images; their
    statistics are not enough. min_images: on each side. min_fakes: by the number of features.
    max_fakes: more are not used.
    """

    numbers: tuple[Number, ...]
    compare: Callable[[FeatureSet, FeatureSet], Mapping[str, float]] | None = None
    judge: Callable[[Features], Mapping[str, float]] | None = None
    biased: bool = False
    needs_features: bool = True
    min_images: int = 2
    min_fakes: Callable[[int], int] = lambda dimensions: 0
    max_fakes: int | None = None
    pixels: Callable[[Size], Descriptor] | None = None


def metric_key(
    number: Number,
    extractor: str,
    count: int,
    against: str = "train",
    small: int | None = None,
    marks: Sequence[str] = (),
) -> str:
    """Key of a number: `fid_10k`, `kid_5k_holdout`, `precision_lite0_5k`, `fid_bf16_raw_10k`.

    extractor: an extractor's name; only `inception`, pytorch-fid's network with its own weights,
    gives `fid`, `kid` and `is`; a number's only extractor is left out (`swd_5k`). marks:
    differences from the usual protocol, such as `bf16`. count: number of fakes. against: train (no
    suffix), holdout or the tag of another source. small: as returned by `small_side`.
    """
    name = f"{number.prefix or number.name}_{extractor}"
    if extractor == "inception" and number.inception_prefix:
        name = number.inception_prefix
    elif extractor == number.extractor:
        name = number.prefix or number.name
    thousands, rest = divmod(count, 1000)
    parts = [name, *marks, f"{thousands}k" if rest == 0 else str(count)]
    if against != "train":
        parts.append(against)
    if small is not None:
        parts.append(f"small{small}")
    return "_".join(parts)


def precision_marks(precision: str) -> list[str]:
    """Mark of an extractor's precision; none for float32, the usual one."""
    return [] if precision == "float32" else [precision]


def small_side(fakes: int, reals: int) -> int | None:
    """Smaller number of images if it is below ENOUGH_IMAGES, else None."""
    smaller = min(fakes, reals)
    return smaller if smaller < ENOUGH_IMAGES else None


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


def subsample(features: NDArray[Item], most: int = MAX_IMAGES) -> NDArray[Item]:
    """At most `most` features, evenly spaced over the set, so that no random draw is needed."""
    if len(features) <= most:
        return features
    return features[np.arange(most) * len(features) // most]
