"""Evaluation of one subject: every metric against every reference, grids and closest pairs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gan.errors import GanError
from gan.features.extraction import (
    FeatureSet,
    allocate_features,
    chunk_size,
    extract_features,
    rebatch,
)
from gan.features.extractor import Extractor
from gan.features.statistics import Statistics, statistics_of
from gan.metrics.memorisation import Memorisation
from gan.metrics.thumbnails import Thumbnails
from gan.params.evaluation import EvaluateParams
from gan.tensor_cache import Images
from pipeline.console import track
from pipeline.evaluation.closest_sheet import Pair
from pipeline.evaluation.references import MemorisationData, References
from pipeline.evaluation.results import MetricResults, round_value
from pipeline.evaluation.subject import Subject

FORMAT = "avatar-gan evaluation 1"


@dataclass(frozen=True)
class Evaluation:
    """Result of evaluating a subject.

    result: a JSON object, a function of the inputs. grid: images of the subject; interpolations:
    images between some of them, None for a folder's; (n, H, W, 3) uint8. closest: pairs of a fake
    and the training image nearest to it. statistics: of the first extractor's features of the
    first sample set.
    """

    subject: Subject
    result: dict[str, Any]
    grid: Images
    interpolations: Images | None
    closest: Sequence[Pair]
    statistics: Statistics

    @property
    def metrics(self) -> dict[str, float]:
        """Metric values by key."""
        return {key: each["value"] for key, each in self.result["metrics"].items()}

    @property
    def deviations(self) -> dict[str, float]:
        """Standard deviations over the seeds by key, of metrics that have one."""
        metrics = self.result["metrics"].items()
        return {key: each["deviation"] for key, each in metrics if each["deviation"] is not None}


def evaluate_subject(
    subject: Subject, references: References, settings: EvaluateParams, batch_size: int
) -> Evaluation:
    """Compute every metric of the settings on every sample set of the subject.

    batch_size: images that go through an extractor at once on a GPU.
    """
    seeds, count = subject.seeds(settings.report_seeds), subject.count(settings.num_fakes)
    metrics = MetricResults(settings, references.items, subject.marks)
    size = chunk_size(batch_size)
    memorisation: Memorisation | None = None
    statistics: list[Statistics] = []
    for seed in seeds:
        # memorisation is measured on the first sample set
        data = None if statistics else references.memorisation
        thumbnails = [Thumbnails()] if data else []
        features = extract_subject_features(
            subject, seed, count, [*references.extractors, *thumbnails], size
        )
        for extractor in references.extractors:
            metrics.add_sample_set(extractor, features[extractor.name])
        if data:
            memorisation = _test_memorisation(data, features[Thumbnails.name], metrics)
        statistics.append(features[references.extractors[0].name].statistics)
    result = {
        "format": FORMAT,
        "subject": subject.to_json(),
        "references": {each.tag: each.to_json() for each in references.items},
        "protocol": {
            "fakes": count,
            "seeds": list(seeds),
            "extractors": {each.name: _extractor_json(each) for each in references.extractors},
        },
        "metrics": {key: each.to_json() for key, each in metrics.by_key.items()},
        "memorisation": {Thumbnails.name: _memorisation_json(memorisation)}
        if memorisation
        else {},
        "selection": None,
        "notes": [*references.notes, *metrics.notes],
    }
    pairs = _closest_pairs(subject, seeds[0], references.memorisation, memorisation)
    return Evaluation(
        subject, result, subject.grid(), subject.interpolations(), pairs, statistics[0]
    )


def refuse_empty(evaluation: Evaluation) -> None:
    """Raise GanError if an evaluation has no metric."""
    if not evaluation.metrics:
        notes = "; ".join(evaluation.result["notes"])
        raise GanError(f"evaluate: no metric could be computed: {notes}")


def _test_memorisation(
    data: MemorisationData, thumbnails: FeatureSet, metrics: MetricResults
) -> Memorisation | None:
    """Run the test and add its metrics; None, with a note, where the images do not allow it."""
    try:
        test = data.test(thumbnails)
    except GanError as error:
        metrics.add_note(f"no {error}")
        return None
    metrics.add_memorisation(Thumbnails(), data.digest, len(data.train), thumbnails.count, test)
    return test


def _closest_pairs(
    subject: Subject, seed: int | None, data: MemorisationData | None, test: Memorisation | None
) -> list[Pair]:
    if data is None or test is None:
        return []
    fakes = subject.select(seed, [each.fake for each in test.closest])
    reals = data.train.select([each.row for each in test.closest])
    return [Pair(*both) for both in zip(test.closest, fakes, reals, strict=True)]


def extract_subject_features(
    subject: Subject, seed: int | None, count: int, extractors: Sequence[Extractor], size: int
) -> dict[str, FeatureSet]:
    """Extract features of a sample set in one pass, by the extractors' names."""
    arrays = [allocate_features(count, each) for each in extractors]
    batches = rebatch(subject.batches(seed, count), size)
    label = "images" if seed is None else f"fakes of seed {seed}"
    extract_features(
        track(batches, f"{label}, batches", math.ceil(count / size)), extractors, arrays
    )
    return {
        each.name: FeatureSet(statistics_of(features), features)
        for each, features in zip(extractors, arrays, strict=True)
    }


def _extractor_json(extractor: Extractor) -> dict[str, str]:
    return {name: getattr(extractor, name) for name in ("protocol", "precision", "digest")}


def _memorisation_json(test: Memorisation) -> dict[str, Any]:
    """Return the test's part of a result, with values rounded as everywhere."""
    content = asdict(test)
    content["closest"] = [
        pair | {name: round_value(pair[name]) for name in ("distance", "relative")}
        for pair in content["closest"]
    ]
    return content | {
        name: round_value(content[name]) for name in ("share", "expected", "p_value")
    }
