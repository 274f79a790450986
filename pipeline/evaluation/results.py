"""Metric results of an evaluation: values by sample set, their keys, and notes on missing ones."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import torch

from gan.errors import GanError
from gan.features.extraction import FeatureSet
from gan.features.extractor import Extractor
from gan.metrics.inception_score import SPLITS, inception_score
from gan.metrics.memorisation import Memorisation
from gan.metrics.metric_names import ENOUGH_IMAGES, metric_key, precision_marks, small_side
from gan.params.evaluation import EvaluateParams
from pipeline.evaluation.metrics import METRICS, Reference, Values, find_obstacle


@dataclass
class MetricResult:
    """One metric: a value per sample set, and all that decides whether others are comparable.

    protocol: digest of metric, extractor, reference, counts and marks.
    """

    metric: str
    extractor: str
    against: str | None
    fakes: int
    reals: int | None
    protocol: str
    values: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """Mean over the sample sets."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the sample sets; None for a single one."""
        return stdev(self.values) if len(self.values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return its part of an evaluation's result, rounded: more digits vary by machine."""
        deviation = self.deviation
        return {
            "value": round_value(self.value),
            "deviation": None if deviation is None else float(f"{deviation:.2g}"),
            "values": [round_value(value) for value in self.values],
            **{
                name: getattr(self, name)
                for name in ("metric", "extractor", "against", "fakes", "reals", "protocol")
            },
        }


def round_value(value: float) -> float:
    """Round to six significant digits."""
    return float(f"{value:.6g}")


MAX_VALUE = 1e100
"""Above it, the standard deviation of values overflows."""

PROTOCOL_VERSION = 1
"""Raised when the arithmetic of a metric changes its values."""


class MetricResults:
    """Metric results by key, filled one sample set after the other."""

    def __init__(
        self, settings: EvaluateParams, references: Sequence[Reference], marks: Sequence[str]
    ) -> None:
        """`marks`: parts of all keys that name what is unusual about the subject."""
        self._settings, self._references, self._marks = settings, references, list(marks)
        self.by_key: dict[str, MetricResult] = {}
        self._missing: dict[str, list[str]] = {}
        self._notes: list[str] = []
        self._small: set[int] = set()

    @property
    def notes(self) -> list[str]:
        """Lines for a reader: caution about small sample sizes, then missing metrics and why."""
        missing = (f"no {', '.join(metrics)} {why}" for why, metrics in self._missing.items())
        return [*self._caution(), *missing, *self._notes]

    def _caution(self) -> Iterator[str]:
        if self._small:
            marks = ", ".join(f"small{count}" for count in sorted(self._small))
            yield (
                f"numbers marked {marks} are of fewer than {ENOUGH_IMAGES:,} images on a side and "
                "depend on how many: only equal keys compare, and none with published numbers"
            )

    def add_note(self, text: str) -> None:
        """Add a note about anything else that is missing."""
        self._notes.append(text)

    def add_sample_set(self, extractor: Extractor, fakes: FeatureSet) -> None:
        """Compute every metric of a sample set's features by one extractor."""
        count = fakes.count
        for metric in self._settings.metrics:
            if metric == "inception_score":
                scores = self._inception_score(extractor, fakes)
                self._add(_Comparison(extractor, None, count, None), scores)
            elif metric != "memorisation":
                for reference in self._references:
                    self._compare(metric, extractor, reference, fakes)

    def add_memorisation(
        self, extractor: Extractor, digest: str, reals: int, fakes: int, test: Memorisation
    ) -> None:
        """Add a memorisation test of `fakes` against the training images of a cache's digest."""
        train = Reference("train", "", digest, reals, False, {})
        values = {"memorisation": test.share, "memorisation_p": test.p_value}
        self._add(_Comparison(extractor, train, fakes, None), values)

    def _compare(
        self, name: str, extractor: Extractor, reference: Reference, fakes: FeatureSet
    ) -> None:
        metric, count = METRICS[name], fakes.count
        if why := find_obstacle(metric, reference, extractor.name, count, self._settings):
            self._add_missing(name, f"against the {reference.description}: {why}")
            return
        small = None
        if metric.biased and reference.count is not None:
            small = small_side(count, reference.count)
        if small is not None:
            self._small.add(small)
        used = min(count, metric.max_fakes or count)
        comparison = _Comparison(extractor, reference, used, small)
        self._add(comparison, metric.compute(reference.features[extractor.name], fakes))

    def _inception_score(self, extractor: Extractor, fakes: FeatureSet) -> Values:
        if fakes.count < SPLITS:
            self._add_missing("inception_score", f"of {fakes.count} images: it needs {SPLITS}")
            return {}
        logits = extractor.logits(torch.from_numpy(fakes.vectors))
        if logits is None:
            self._add_missing("inception_score", f"by {extractor.name}: it knows no classes")
            return {}
        return {"score": inception_score(logits.numpy()).value}

    def _add_missing(self, metric: str, why: str) -> None:
        metrics = self._missing.setdefault(why, [])
        if metric not in metrics:
            metrics.append(metric)

    def _add(self, comparison: "_Comparison", values: Values) -> None:
        for metric, value in values.items():
            key = comparison.key(metric, self._marks)
            if not abs(value) < MAX_VALUE:
                raise GanError(
                    f"{key} would be {value:g}: features of {comparison.extractor.name} are far "
                    "too large for its arithmetic; scale them"
                )
            result = self.by_key.setdefault(key, comparison.empty_result(metric, self._marks))
            result.values.append(value)


@dataclass(frozen=True)
class _Comparison:
    """Extractor, reference and numbers of images that metrics are computed from."""

    extractor: Extractor
    reference: Reference | None
    count: int
    small: int | None

    def key(self, metric: str, marks: Sequence[str]) -> str:
        against = self.reference.tag if self.reference else "train"
        every = [*precision_marks(self.extractor.precision), *marks]
        return metric_key(metric, self.extractor.name, self.count, against, self.small, every)

    def empty_result(self, metric: str, marks: Sequence[str]) -> MetricResult:
        real = self.reference
        reference = [real.digest, real.count] if real else None
        decides = [
            PROTOCOL_VERSION, metric, self.extractor.digest, reference, self.count, list(marks)
        ]  # fmt: skip
        protocol = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]
        tag, reals = (real.tag, real.count) if real else (None, None)
        return MetricResult(metric, self.extractor.name, tag, self.count, reals, protocol)
