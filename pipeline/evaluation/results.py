"""Numbers of an evaluation: what each metric says of one lot of fakes, and what it is called."""

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
from pipeline.evaluation.metrics import MEASURES, Reference, Values, obstacle


@dataclass
class Number:
    """One metric: a value a lot of fakes, and all that decides whether others compare with it."""

    metric: str
    extractor: str
    against: str | None
    fakes: int
    reals: int | None
    protocol: str
    values: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """Mean over the lots."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the lots; None of a single one."""
        return stdev(self.values) if len(self.values) > 1 else None

    def described(self) -> dict[str, Any]:
        """What a result says of it, rounded: more digits would be noise of the machine."""
        spread = self.deviation
        return {
            "value": rounded(self.value),
            "deviation": None if spread is None else float(f"{spread:.2g}"),
            "values": [rounded(value) for value in self.values],
            **{
                name: getattr(self, name)
                for name in ("metric", "extractor", "against", "fakes", "reals", "protocol")
            },
        }


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


LARGEST = 1e100
"""Of a value; beyond it a deviation is no number any more."""

PROTOCOL = 1
"""Counted up when the arithmetic of a metric changes what it says."""


class Numbers:
    """Takes one lot of fakes after the other; holds a Number for each metric's key."""

    def __init__(
        self, settings: EvaluateParams, references: Sequence[Reference], marks: Sequence[str]
    ) -> None:
        """`marks`: what keys say of the subject."""
        self._settings, self._references, self._marks = settings, references, list(marks)
        self.found: dict[str, Number] = {}
        self._missing: dict[str, list[str]] = {}
        self._notes: list[str] = []
        self._small: set[int] = set()

    @property
    def notes(self) -> list[str]:
        """Lines for a reader: the worth of numbers of few images, then what is missing and why."""
        missing = (f"no {', '.join(metrics)} {why}" for why, metrics in self._missing.items())
        return [*self._worth(), *missing, *self._notes]

    def _worth(self) -> Iterator[str]:
        if self._small:
            marks = ", ".join(f"small{count}" for count in sorted(self._small))
            yield (
                f"numbers marked {marks} are of fewer than {ENOUGH_IMAGES:,} images on a side and "
                "depend on how many: only equal keys compare, and none with published numbers"
            )

    def note(self, text: str) -> None:
        """Say what else could not be had."""
        self._notes.append(text)

    def add(self, extractor: Extractor, fakes: FeatureSet) -> None:
        """Measure a lot as `extractor` saw it."""
        count = fakes.count
        for metric in self._settings.metrics:
            if metric == "inception_score":
                self._keep(_Key(extractor, None, count, None), self._score(extractor, fakes))
            elif metric != "memorisation":
                for reference in self._references:
                    self._compare(metric, extractor, reference, fakes)

    def remember(
        self, extractor: Extractor, originals: str, reals: int, fakes: int, found: Memorisation
    ) -> None:
        """Take in how near a lot comes to the training images of a cache's digest."""
        train = Reference("train", "", originals, reals, False, {})
        values = {"memorisation": found.share, "memorisation_p": found.p_value}
        self._keep(_Key(extractor, train, fakes, None), values)

    def _compare(
        self, metric: str, extractor: Extractor, reference: Reference, fakes: FeatureSet
    ) -> None:
        measure, count = MEASURES[metric], fakes.count
        if why := obstacle(measure, reference, extractor.name, count, self._settings):
            self._miss(metric, f"against the {reference.what}: {why}")
            return
        small = None
        if measure.biased and reference.count is not None:
            small = small_side(count, reference.count)
        if small is not None:
            self._small.add(small)
        used = min(count, measure.most or count)
        key = _Key(extractor, reference, used, small)
        self._keep(key, measure.numbers(reference.seen[extractor.name], fakes))

    def _score(self, extractor: Extractor, fakes: FeatureSet) -> Values:
        if fakes.count < SPLITS:
            self._miss("inception_score", f"of {fakes.count} images: it needs {SPLITS}")
            return {}
        logits = extractor.logits(torch.from_numpy(fakes.vectors))
        if logits is None:
            self._miss("inception_score", f"by {extractor.name}: it knows no classes")
            return {}
        return {"score": inception_score(logits.numpy()).value}

    def _miss(self, metric: str, why: str) -> None:
        metrics = self._missing.setdefault(why, [])
        if metric not in metrics:
            metrics.append(metric)

    def _keep(self, key: "_Key", values: Values) -> None:
        for metric, value in values.items():
            name = key.text(metric, self._marks)
            if not abs(value) < LARGEST:
                raise GanError(
                    f"{name} would be {value:g}: features of {key.extractor.name} are far too "
                    "large for its arithmetic; scale them"
                )
            self.found.setdefault(name, key.number(metric, self._marks)).values.append(value)


@dataclass(frozen=True)
class _Key:
    """What metrics of one comparison are of."""

    extractor: Extractor
    reference: Reference | None
    count: int
    small: int | None

    def text(self, metric: str, marks: Sequence[str]) -> str:
        against = self.reference.tag if self.reference else "train"
        every = [*precision_marks(self.extractor.precision), *marks]
        return metric_key(metric, self.extractor.name, self.count, against, self.small, every)

    def number(self, metric: str, marks: Sequence[str]) -> Number:
        real = self.reference
        seen = [real.digest, real.count] if real else None
        decided = [PROTOCOL, metric, self.extractor.digest, seen, self.count, list(marks)]
        protocol = hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:16]
        tag, reals = (real.tag, real.count) if real else (None, None)
        return Number(metric, self.extractor.name, tag, self.count, reals, protocol)
