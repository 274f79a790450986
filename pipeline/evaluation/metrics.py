"""How fakes are compared with a reference: the metrics, what each needs, what it may lack."""

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
    """Real images that fakes are compared with, as each extractor saw them (by its name).

    tag: what keys call them. other: not the data that the judged checkpoint was trained on. size:
    (height, width), None where it is not known.
    """

    tag: str
    what: str
    digest: str
    count: int | None
    other: bool
    seen: Mapping[str, FeatureSet]
    size: tuple[int, int] | None = None

    def described(self) -> dict[str, Any]:
        """What a result says of it."""
        kept = ("what", "digest", "count", "other")
        return {name: getattr(self, name) for name in kept}


@dataclass(frozen=True)
class Measure:
    """How a metric comes from real and fake features, and what it needs.

    biased: it depends on the counts so much that few images need asking for. of_rows: the real
    ones' features themselves, not only their statistics. least: images on each side. fakes: how
    many it needs, of so many features. most: of more fakes it takes so many.
    """

    numbers: Callable[[FeatureSet, FeatureSet], Values]
    biased: bool
    of_rows: bool
    least: int
    fakes: Callable[[int], int] = lambda dimensions: 0
    most: int | None = None


def _frechet(real: FeatureSet, fake: FeatureSet) -> Values:
    return {"frechet": frechet_distance(real.statistics, fake.statistics)}


def _infinity(real: FeatureSet, fake: FeatureSet) -> Values:
    return {"infinity": frechet_infinity(real.statistics, fake.vectors)}


def _kernel(real: FeatureSet, fake: FeatureSet) -> Values:
    found = kernel_distance(real.vectors, fake.vectors)
    return {"kernel": found.value, "kernel_error": found.error}


def _manifold(real: FeatureSet, fake: FeatureSet) -> Values:
    return asdict(precision_recall(real.vectors, fake.vectors))


MEASURES = {
    "frechet_distance": Measure(_frechet, biased=True, of_rows=False, least=2),
    "frechet_infinity": Measure(
        _infinity, biased=True, of_rows=False, least=2, fakes=fakes_needed
    ),
    "kernel_distance": Measure(
        _kernel, biased=False, of_rows=True, least=MIN_IMAGES, most=MAX_IMAGES
    ),
    "precision_recall": Measure(_manifold, biased=True, of_rows=True, least=6, most=MAX_IMAGES),
}
"""By their ids in evaluate.metrics; `inception_score` and `memorisation` compare otherwise."""


def obstacle(
    measure: Measure, reference: Reference, extractor: str, fakes: int, settings: EvaluateParams
) -> str | None:
    """Why a metric can't be had of so many fakes against a reference, None if it can."""
    if extractor not in reference.seen:
        return f"its statistics are not {extractor}'s"
    reals = reference.count
    smaller = fakes if reals is None else min(fakes, reals)
    both = f"{fakes:,} fakes against {'an unknown number of' if reals is None else f'{reals:,}'} "
    if smaller < measure.least:
        return f"{both}real images; it needs {measure.least:,} on each side"
    needed = measure.fakes(reference.seen[extractor].statistics.mean.size)
    if fakes < needed:
        return f"{fakes:,} fakes; it needs {needed:,}"
    if measure.biased and smaller < ENOUGH_IMAGES and not settings.allow_small:
        return (
            f"{both}real images, fewer than {ENOUGH_IMAGES:,} on a side; evaluate.allow_small: "
            "true (--allow-small with --against and --images) computes it under a key that says so"
        )
    if measure.of_rows and reference.seen[extractor].features is None:
        return "a statistics file has no features, only their mean and covariance"
    return None
