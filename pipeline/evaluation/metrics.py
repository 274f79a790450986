"""Metrics that compare fakes with a reference: how each is computed, and what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gan.features.extraction import FeatureSet
from gan.metrics.feature_checks import MAX_IMAGES
from gan.metrics.frechet_distance import frechet_distance
from gan.metrics.frechet_infinity import fakes_needed, frechet_infinity
from gan.metrics.kernel_distance import MIN_IMAGES, kernel_distance
from gan.metrics.metric_names import ENOUGH_IMAGES
from gan.metrics.precision_recall import precision_recall
from gan.params.evaluation import EvaluateParams

Values = dict[str, float]


@dataclass(frozen=True)
class Reference:
    """Real images that fakes are compared with; their features by the extractors' names.

    tag: name in metric keys. count: None if unknown. other: not the training data of the
    evaluated checkpoint. size: (height, width), None if unknown.
    """

    tag: str
    description: str
    digest: str
    count: int | None
    other: bool
    features: Mapping[str, FeatureSet]
    size: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return its part of an evaluation's result."""
        return {
            "what": self.description,
            "digest": self.digest,
            "count": self.count,
            "other": self.other,
        }


@dataclass(frozen=True)
class Metric:
    """Computation of a metric from features of real images and of fakes, and its requirements.

    biased: depends so much on the sample size that few images need `allow_small`. needs_features:
    of the real images; their statistics are not enough. min_images: on each side. min_fakes: by
    the number of features. max_fakes: more are not used.
    """

    compute: Callable[[FeatureSet, FeatureSet], Values]
    biased: bool
    needs_features: bool
    min_images: int
    min_fakes: Callable[[int], int] = lambda dimensions: 0
    max_fakes: int | None = None


def _frechet(real: FeatureSet, fake: FeatureSet) -> Values:
    return {"frechet": frechet_distance(real.statistics, fake.statistics)}


def _infinity(real: FeatureSet, fake: FeatureSet) -> Values:
    return {"infinity": frechet_infinity(real.statistics, fake.vectors)}


def _kernel(real: FeatureSet, fake: FeatureSet) -> Values:
    distance = kernel_distance(real.vectors, fake.vectors)
    return {"kernel": distance.value, "kernel_error": distance.error}


def _precision_recall(real: FeatureSet, fake: FeatureSet) -> Values:
    return asdict(precision_recall(real.vectors, fake.vectors))


METRICS = {
    "frechet_distance": Metric(_frechet, biased=True, needs_features=False, min_images=2),
    "frechet_infinity": Metric(
        _infinity, biased=True, needs_features=False, min_images=2, min_fakes=fakes_needed
    ),
    "kernel_distance": Metric(
        _kernel, biased=False, needs_features=True, min_images=MIN_IMAGES, max_fakes=MAX_IMAGES
    ),
    "precision_recall": Metric(
        _precision_recall, biased=True, needs_features=True, min_images=6, max_fakes=MAX_IMAGES
    ),
}
"""By their ids in evaluate.metrics; without `inception_score` and `memorisation`, which compare
fakes with no reference and with both splits."""


def find_obstacle(
    metric: Metric, reference: Reference, extractor: str, fakes: int, settings: EvaluateParams
) -> str | None:
    """Explain why a metric can't be computed for so many fakes, None if it can."""
    if extractor not in reference.features:
        return f"its statistics are not {extractor}'s"
    reals = reference.count
    smaller = fakes if reals is None else min(fakes, reals)
    both = f"{fakes:,} fakes against {'an unknown number of' if reals is None else f'{reals:,}'} "
    if smaller < metric.min_images:
        return f"{both}real images; it needs {metric.min_images:,} on each side"
    needed = metric.min_fakes(reference.features[extractor].statistics.mean.size)
    if fakes < needed:
        return f"{fakes:,} fakes; it needs {needed:,}"
    if metric.biased and smaller < ENOUGH_IMAGES and not settings.allow_small:
        return (
            f"{both}real images, fewer than {ENOUGH_IMAGES:,} on a side; evaluate.allow_small: "
            "true (--allow-small with --against and --images) computes it under a key that says so"
        )
    if metric.needs_features and reference.features[extractor].features is None:
        return "a statistics file has no features, only their mean and covariance"
    return None
