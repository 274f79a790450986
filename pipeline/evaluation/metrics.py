"""Metrics of an evaluation: values by sample set, their keys, and notes on missing ones."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from gan.errors import GanError
from gan.features.extractor import Extractor
from gan.features.statistics import FeatureSet
from gan.metrics.build import load_metric, number_of
from gan.metrics.metric import ENOUGH_IMAGES, Metric, metric_key, precision_marks, small_side
from gan.params.evaluation import EvaluateParams
from pipeline.evaluation.result import MetricResult, ReferenceFacts

MAX_VALUE = 1e100
"""Above it, the standard deviation of values overflows."""

PROTOCOL_VERSION = 1
"""Raised when the arithmetic of a metric changes its values."""


@dataclass(frozen=True)
class Reference:
    """Real images that fakes are compared with; their features by the extractors' names.

    tag: name in metric keys. facts: its part of a result. size: (height, width), None if unknown.
    """

    tag: str
    facts: ReferenceFacts
    features: Mapping[str, FeatureSet]
    size: tuple[int, int] | None = None


def find_obstacle(
    metric: Metric, reference: Reference, extractor: str, fakes: int, settings: EvaluateParams
) -> str | None:
    """Explain why a metric can't be computed for so many fakes, None if it can."""
    if extractor not in reference.features:
        return f"its statistics are not {extractor}'s"
    reals = reference.facts.count
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


class MetricResults:
    """Metric results by key, filled one sample set after the other."""

    def __init__(
        self, settings: EvaluateParams, references: Sequence[Reference], marks: Sequence[str]
    ) -> None:
        """`marks`: parts of all keys that name what is unusual about the subject."""
        self._settings, self._references, self._marks = settings, references, list(marks)
        self._values: dict[str, list[float]] = {}
        self._facts: dict[str, dict[str, str | int | None]] = {}
        self._missing: dict[str, dict[str, None]] = {}
        self._small: set[int] = set()

    def by_key(self) -> dict[str, MetricResult]:
        """Summarise all sample sets."""
        return {key: MetricResult.of(v, **self._facts[key]) for key, v in self._values.items()}

    def notes(self) -> list[str]:
        """List lines for a reader: caution about small sample sizes, missing metrics and why."""
        missing = [f"no {', '.join(metrics)}{why}" for why, metrics in self._missing.items()]
        if not self._small:
            return missing
        marks = ", ".join(f"small{count}" for count in sorted(self._small))
        caution = (
            f"numbers marked {marks} are of fewer than {ENOUGH_IMAGES:,} images on a side and "
            "depend on how many: only equal keys compare, and none with published numbers"
        )
        return [caution, *missing]

    def add_missing(self, metric: str, why: str) -> None:
        """Add a note on a missing metric; those with one reason share it."""
        self._missing.setdefault(why, {})[metric] = None

    def add_sample_set(self, extractor: Extractor, fakes: FeatureSet) -> None:
        """Compute every metric of a sample set's features by one extractor."""
        for name in self._settings.metrics:
            self._judge(name, extractor, fakes)
            for reference in self._references:
                self._compare(name, extractor, reference, fakes)

    def _compare(
        self, name: str, extractor: Extractor, reference: Reference, fakes: FeatureSet
    ) -> None:
        metric, count, reals = load_metric(name), fakes.count, reference.facts.count
        if metric.compare is None:
            return
        if why := find_obstacle(metric, reference, extractor.name, count, self._settings):
            self.add_missing(name, f" against the {reference.facts.what}: {why}")
            return
        small = small_side(count, reals) if metric.biased and reals is not None else None
        if small is not None:
            self._small.add(small)
        values = metric.compare(reference.features[extractor.name], fakes)
        used, images = min(count, metric.max_fakes or count), (reference.facts.digest, reals)
        self.add(values, extractor, used, reference.tag, images, small)

    def _judge(self, name: str, extractor: Extractor, fakes: FeatureSet) -> None:
        metric = load_metric(name)
        if metric.judge is None:
            return
        if fakes.count < metric.min_images:
            self.add_missing(name, f" of {fakes.count} images: it needs {metric.min_images}")
            return
        logits = extractor.logits(torch.from_numpy(fakes.vectors))
        if logits is None:
            self.add_missing(name, f" by {extractor.name}: it knows no classes")
            return
        self.add(metric.judge(logits.numpy()), extractor, fakes.count)

    def add(
        self,
        values: Mapping[str, float],
        extractor: Extractor,
        count: int,
        tag: str | None = None,
        images: tuple[str, int | None] | None = None,
        small: int | None = None,
    ) -> None:
        """Add values by their numbers' names, of `count` fakes and one sample set.

        tag, images: of the real images that they are compared with, digest and number of these.
        """
        marks = [*precision_marks(extractor.precision), *self._marks]
        for name, value in values.items():
            key = metric_key(number_of(name), extractor.name, count, tag or "train", small, marks)
            if not abs(value) < MAX_VALUE:
                raise GanError(
                    f"{key} would be {value:g}: features of {extractor.name} are far "
                    "too large for its arithmetic; scale them"
                )
            decides = [PROTOCOL_VERSION, name, extractor.digest, images, count, self._marks]
            self._values.setdefault(key, []).append(value)
            self._facts[key] = {
                "metric": name,
                "extractor": extractor.name,
                "against": tag,
                "fakes": count,
                "reals": images[1] if images else None,
                "protocol": hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16],
            }
