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
from pipeline.evaluation.references import Originals, References
from pipeline.evaluation.results import Numbers, rounded
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
        """Value by key, as reports hold them."""
        return {key: each["value"] for key, each in self.result["metrics"].items()}

    @property
    def spread(self) -> dict[str, float]:
        """Deviation over the seeds by key, of those that have one."""
        found = self.result["metrics"].items()
        return {key: each["deviation"] for key, each in found if each["deviation"] is not None}


def evaluate_subject(
    subject: Subject, references: References, settings: EvaluateParams, batch_size: int
) -> Evaluation:
    """Compute every metric of the settings on every sample set of the subject.

    batch_size: images that go through an extractor at once on a GPU.
    """
    seeds, count = subject.seeds(settings.report_seeds), subject.count(settings.num_fakes)
    numbers = Numbers(settings, references.items, subject.marks)
    size = chunk_size(batch_size)
    memory: Memorisation | None = None
    statistics: list[Statistics] = []
    for seed in seeds:
        # memorisation is measured on the first sample set
        originals = None if statistics else references.originals
        also = [Thumbnails()] if originals else []
        seen = extract_subject_features(
            subject, seed, count, [*references.extractors, *also], size
        )
        for extractor in references.extractors:
            numbers.add(extractor, seen[extractor.name])
        if originals:
            memory = _memorised(originals, seen[Thumbnails.name], numbers)
        statistics.append(seen[references.extractors[0].name].statistics)
    result = {
        "format": FORMAT,
        "subject": subject.described(),
        "references": {each.tag: each.described() for each in references.items},
        "protocol": {
            "fakes": count,
            "seeds": list(seeds),
            "extractors": {each.name: _described(each) for each in references.extractors},
        },
        "metrics": {key: each.described() for key, each in numbers.found.items()},
        "memorisation": {Thumbnails.name: _memory(memory)} if memory else {},
        "selection": None,
        "notes": [*references.notes, *numbers.notes],
    }
    pairs = _pairs(subject, seeds[0], references.originals, memory)
    return Evaluation(
        subject, result, subject.grid(), subject.interpolations(), pairs, statistics[0]
    )


def refuse_empty(evaluation: Evaluation) -> None:
    """Raise GanError if an evaluation has no number."""
    if not evaluation.metrics:
        notes = "; ".join(evaluation.result["notes"])
        raise GanError(f"evaluate: nothing could be measured: {notes}")


def _memorised(originals: Originals, seen: FeatureSet, numbers: Numbers) -> Memorisation | None:
    """None, with a note, where the images do not allow it."""
    try:
        found = originals.memorised(seen)
    except GanError as error:
        numbers.note(f"no {error}")
        return None
    numbers.remember(Thumbnails(), originals.digest, len(originals.train), seen.count, found)
    return found


def _pairs(
    subject: Subject, seed: int | None, originals: Originals | None, memory: Memorisation | None
) -> list[Pair]:
    if originals is None or memory is None:
        return []
    fakes = subject.rows(seed, [each.fake for each in memory.closest])
    reals = originals.train.rows([each.row for each in memory.closest])
    return [Pair(*both) for both in zip(memory.closest, fakes, reals, strict=True)]


def extract_subject_features(
    subject: Subject, seed: int | None, count: int, extractors: Sequence[Extractor], size: int
) -> dict[str, FeatureSet]:
    """One pass over a lot of the subject's images: what each extractor saw, by its name."""
    into = [allocate_features(count, each) for each in extractors]
    batches = rebatch(subject.batches(seed, count), size)
    label = "images" if seed is None else f"fakes of seed {seed}"
    extract_features(
        track(batches, f"{label}, batches", math.ceil(count / size)), extractors, into
    )
    return {
        each.name: FeatureSet(statistics_of(rows), rows)
        for each, rows in zip(extractors, into, strict=True)
    }


def _described(extractor: Extractor) -> dict[str, str]:
    kept = ("protocol", "precision", "digest")
    return {name: getattr(extractor, name) for name in kept}


def _memory(found: Memorisation) -> dict[str, Any]:
    """With numbers rounded as everywhere."""
    content = asdict(found)
    content["closest"] = [
        pair | {name: rounded(pair[name]) for name in ("distance", "relative")}
        for pair in content["closest"]
    ]
    return content | {name: rounded(content[name]) for name in ("share", "expected", "p_value")}
