"""Evaluation of one subject: every metric against every reference, grids and closest pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.features.extraction import allocate_features, chunk_size, extract_features, rebatch
from gan.features.extractor import Extractor
from gan.features.statistics import FeatureSet, Statistics, statistics_of
from gan.metrics.descriptors import DescribedSample
from gan.metrics.face_share import MAX_PICTURES as MAX_FACES
from gan.metrics.memorisation import Closest, Memorisation, memorisation
from gan.metrics.metric import Descriptor
from gan.metrics.thumbnails import VIEWS, Thumbnails, mirror_columns
from gan.params.evaluation import EvaluateParams
from gan.tensor_cache import Images
from pipeline.console import track
from pipeline.evaluation.metrics import MetricResults
from pipeline.evaluation.references import FaceData, MemorisationData, References
from pipeline.evaluation.result import (
    EvaluationResult,
    ExtractorFacts,
    Protocol,
    SelectionFacts,
    round_value,
)
from pipeline.evaluation.subject import Subject
from pipeline.number_ranges import evenly_spaced


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A fake and its nearest training image, (H, W, 3) uint8; `real` is not mirrored yet."""

    closest: Closest
    fake: NDArray[np.uint8]
    real: NDArray[np.uint8]


@dataclass(frozen=True)
class Evaluation:
    """Result of evaluating a subject, and its pictures.

    grid: images of the subject; interpolations: images between some of them, None for a folder's;
    (n, H, W, 3) uint8. closest: pairs of a fake and the training image nearest to it. statistics:
    of the first extractor's features of the first sample set.
    """

    subject: Subject
    result: EvaluationResult
    grid: Images
    interpolations: Images | None
    closest: Sequence[Pair]
    statistics: Statistics

    @property
    def metrics(self) -> dict[str, float]:
        """Metric values by key."""
        return {key: each.value for key, each in self.result.metrics.items()}

    @property
    def deviations(self) -> dict[str, float]:
        """Standard deviations over the seeds by key, of metrics that have one."""
        metrics = self.result.metrics.items()
        return {key: each.deviation for key, each in metrics if each.deviation is not None}


def evaluate_subject(
    subject: Subject,
    references: References,
    settings: EvaluateParams,
    batch_size: int,
    selection: SelectionFacts | None = None,
) -> Evaluation:
    """Compute every metric of the settings on every sample set of the subject.

    batch_size: images that go through an extractor at once on a GPU. selection: of the subject
    among snapshots, for the result.
    """
    seeds, count = subject.sample_sets(settings)
    extractors, data = references.extractors, references.memorisation
    descriptors, faces = [*references.descriptors.values()], references.faces
    protocols: list[Extractor | Descriptor] = [*extractors, *descriptors]
    metrics = MetricResults(settings, references.items, subject.marks)
    statistics: list[Statistics] = []
    test: Memorisation | None = None
    if faces:
        protocols.append(faces.descriptor)
        _add_face_share(faces, subject, seeds[0], count, metrics)
    for seed in seeds:
        # memorisation is measured on the first sample set
        thumbnails = [Thumbnails()] if data and not statistics else []
        described = DescribedSample(descriptors, count)
        features = extract_subject_features(
            subject, seed, count, [*extractors, *thumbnails], batch_size, described
        )
        for extractor in extractors:
            metrics.add_sample_set(extractor, features[extractor.name])
        metrics.add_described(references.descriptors, described)
        if data and thumbnails:
            test = _test_memorisation(data, features[Thumbnails.name], metrics)
        statistics.append(features[extractors[0].name].statistics)
    result = EvaluationResult(
        subject=subject.describe(),
        references={each.tag: each.facts for each in references.items},
        protocol=Protocol(
            fakes=count,
            seeds=list(seeds),
            extractors={
                each.name: ExtractorFacts.model_validate(each, from_attributes=True)
                for each in protocols
            },
        ),
        metrics=metrics.by_key(),
        memorisation={Thumbnails.name: _round(test)} if test else {},
        selection=selection,
        notes=[*references.notes, *metrics.notes()],
    )
    pairs = []
    if data and test:
        fakes = subject.select(seeds[0], [each.fake for each in test.closest])
        reals = data.train.select([each.row for each in test.closest])
        pairs = [Pair(*both) for both in zip(test.closest, fakes, reals, strict=True)]
    return Evaluation(
        subject, result, subject.grid(), subject.interpolations(), pairs, statistics[0]
    )


def extract_subject_features(
    subject: Subject,
    seed: int | None,
    count: int,
    extractors: Sequence[Extractor],
    batch_size: int,
    described: DescribedSample | None = None,
) -> dict[str, FeatureSet]:
    """Extract features of a sample set in one pass, by the extractors' names.

    described: filled in the same pass.
    """
    size = chunk_size(batch_size)
    arrays = [allocate_features(count, each) for each in extractors]
    batches = rebatch(subject.batches(seed, count), size)
    if described is not None:
        batches = described.watch(batches)
    label = "images" if seed is None else f"fakes of seed {seed}"
    extract_features(
        track(batches, f"{label}, batches", math.ceil(count / size)), extractors, arrays
    )
    return {
        each.name: FeatureSet(statistics_of(features), features)
        for each, features in zip(extractors, arrays, strict=True)
    }


def _add_face_share(
    data: FaceData, subject: Subject, seed: int | None, count: int, metrics: MetricResults
) -> None:
    """Look for faces in a sample of a sample set, and add the shares of both sides."""
    fakes = subject.select(seed, evenly_spaced(count, MAX_FACES))
    found = data.descriptor.describe(fakes.transpose(0, 3, 1, 2))
    values, facts = data.descriptor.compare(data.found, found), data.reference.facts
    images = facts.digest, facts.count
    metrics.add(values, data.descriptor, len(fakes), data.reference.tag, images)


def _test_memorisation(
    data: MemorisationData, thumbnails: FeatureSet, metrics: MetricResults
) -> Memorisation | None:
    """Run the test and add its metrics; None, with a note, where the images do not allow it."""
    try:
        splits = data.train_thumbnails, data.holdout_thumbnails
        test = memorisation(*splits, thumbnails.vectors, VIEWS, mirror_columns())
    except GanError as error:
        metrics.add_missing("memorisation", str(error).removeprefix("memorisation"))
        return None
    values = {"memorisation": test.share, "memorisation_p": test.p_value}
    images = data.train.cache.digest, len(data.train)
    metrics.add(values, Thumbnails(), thumbnails.count, "train", images)
    return test


def _round(test: Memorisation) -> Memorisation:
    """Round the values of a test as all others of a result."""
    closest = tuple(
        replace(pair, distance=round_value(pair.distance), relative=round_value(pair.relative))
        for pair in test.closest
    )
    share, expected, p_value = map(round_value, (test.share, test.expected, test.p_value))
    return replace(test, share=share, expected=expected, p_value=p_value, closest=closest)
