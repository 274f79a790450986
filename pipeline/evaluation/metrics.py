"""Metrics of an evaluation: values by sample set, their keys, and notes on missing ones."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from gan.errors import GanError
from gan.features.extractor import Extractor
from gan.features.statistics import Features, FeatureSet
from gan.metrics.build import load_metric, number_of
from gan.metrics.descriptors import DescribedSample
from gan.metrics.metric import (
    ENOUGH_IMAGES,
    Descriptor,
    Metric,
    metric_key,
    precision_marks,
    small_side,
)
from gan.params.evaluation import EvaluateParams
from gan.tensor_cache import Images
from pipeline.evaluation.result import MetricResult, ReferenceFacts

MAX_VALUE = 1e100
"""Above it, the standard deviation of values overflows."""

PROTOCOL_VERSION = 1
"""Raised when the arithmetic of a metric changes its values."""


@dataclass(frozen=True)
class Reference:
    """Real images that fakes are compared with; their features by the extractors' names.

    tag: name in metric keys. facts: its part of a result. size: (height, width), None if unknown.
    described: features of a sample of them by descriptors' names, if they are of the fakes' size.
    select: the images at some indices, (n, H, W, 3) uint8; None of a statistics file.
    """

    tag: str
    facts: ReferenceFacts
    features: Mapping[str, FeatureSet]
    size: tuple[int, int] | None = None
    described: Mapping[str, Features] = field(default_factory=dict)
    select: Callable[[Sequence[int]], Images] | None = None


def find_obstacle(
    metric: Metric, reference: Reference, extractor: str, fakes: int, settings: EvaluateParams
) -> str | None:
    """Explain why a metric can't be computed for so many fakes, None if it can."""
    features = reference.features.get(extractor)
    if metric.pixels is None and features is None:
        return f"its statistics are not {extractor}'s"
    if metric.pixels is not None and extractor not in reference.described:
        has = "its images are of another size" if reference.size else "it has statistics only"
        return f"{has}, and this compares pixels"
    reals = reference.facts.count
    smaller = fakes if reals is None else min(fakes, reals)
    both = f"{fakes:,} fakes against {'an unknown number of' if reals is None else f'{reals:,}'} "
    if smaller < metric.min_images:
        return f"{both}real images; it needs {metric.min_images:,} on each side"
    needed = metric.min_fakes(features.statistics.mean.size) if features else 0
    if fakes < needed:
        return f"{fakes:,} fakes; it needs {needed:,}"
    if metric.biased and smaller < ENOUGH_IMAGES and not settings.allow_small:
        return (
            f"{both}real images, fewer than {ENOUGH_IMAGES:,} on a side; evaluate.allow_small: "
            "true (--allow-small with --against and --images) computes it under a key that says so"
        )
    if metric.needs_features and features and features.features is None:
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
            metric = load_metric(name)
            for each in self._references:
                if metric.compare and self._is_possible(name, extractor, each, fakes.count):
                    values = metric.compare(each.features[extractor.name], fakes)
                    self._add_comparison(metric, values, extractor, each, fakes.count)

    def add_described(self, descriptors: Mapping[str, Descriptor], fakes: DescribedSample) -> None:
        """Compute the metrics of pixels of a sample set; descriptors by the metrics' ids."""
        for name, descriptor in descriptors.items():
            vectors = fakes.vectors[descriptor.name]
            for each in self._references:
                if self._is_possible(name, descriptor, each, fakes.count):
                    values = descriptor.compare(each.described[descriptor.name], vectors)
                    self._add_comparison(load_metric(name), values, descriptor, each, fakes.count)

    def _is_possible(
        self, name: str, extractor: Extractor | Descriptor, reference: Reference, fakes: int
    ) -> bool:
        """Return whether a metric can be computed; adds a note if it can't."""
        why = find_obstacle(load_metric(name), reference, extractor.name, fakes, self._settings)
        if why:
            self.add_missing(name, f" against the {reference.facts.what}: {why}")
        return not why

    def _add_comparison(
        self,
        metric: Metric,
        values: Mapping[str, float],
        extractor: Extractor | Descriptor,
        reference: Reference,
        fakes: int,
    ) -> None:
        reals = reference.facts.count
        small = small_side(fakes, reals) if metric.biased and reals is not None else None
        if small is not None:
            self._small.add(small)
        used, images = min(fakes, metric.max_fakes or fakes), (reference.facts.digest, reals)
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
        extractor: Extractor | Descriptor,
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
