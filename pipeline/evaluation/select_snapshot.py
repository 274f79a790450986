"""Selection of the best snapshot: one cheap distance for each, on a latent seed of its own.

The distance is of the first extractor and the first possible reference: a Fréchet distance, or
with too few images for that the kernel distance, which is unbiased. With too few even for that,
the newest snapshot is taken.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from gan.errors import GanError
from gan.metrics.build import load_metric
from gan.metrics.kernel_distance import MIN_IMAGES
from gan.metrics.metric import Metric, metric_key, precision_marks, small_side
from gan.params.evaluation import EvaluateParams
from gan.tensor_cache import TensorCache
from pipeline.evaluation.evaluate_subject import extract_subject_features
from pipeline.evaluation.metrics import Reference, find_obstacle
from pipeline.evaluation.references import References
from pipeline.evaluation.result import SelectionFacts, round_value
from pipeline.evaluation.subject import CheckpointSubject, require_same_data

PREFERRED = ("frechet_distance", "kernel_distance")
"""Metrics in the order of preference; the first number of each selects."""


class Snapshots:
    """Snapshots of one training, oldest first; iterating opens each but the newest anew.

    The newest is opened at once, so that one of other data is refused before any work.
    """

    def __init__(self, folder: Path, cache: TensorCache) -> None:
        """GanError if there is none, or the newest was trained on other data than the cache's."""
        paths = sorted(folder.glob("*.pt"))
        if not paths:
            raise GanError(f"{folder}: no snapshot to evaluate; run `gan train`")
        self._older, self._cache = paths[:-1], cache
        self.newest = self._open(paths[-1])

    def __iter__(self) -> Iterator[CheckpointSubject]:
        yield from map(self._open, self._older)
        yield self.newest

    def _open(self, path: Path) -> CheckpointSubject:
        subject = CheckpointSubject.open(path)
        require_same_data(path, subject.origin.cache_digest, self._cache, "run `gan train`")
        return subject


def select_snapshot(
    snapshots: Snapshots, references: References, settings: EvaluateParams, batch_size: int
) -> tuple[CheckpointSubject, SelectionFacts, list[str]]:
    """Select the snapshot with the smallest distance; of equal ones the first.

    Returned with it: its part of a result, and notes if no Fréchet distance selected it.
    """
    extractor = references.extractors[0]
    preferred = ((load_metric(name), each) for name in PREFERRED for each in references.items)
    possible = (pair for pair in preferred if _can_select(*pair, extractor.name, settings))
    metric, reference = next(possible, (None, None))
    if metric is None or reference is None or metric.compare is None:
        note = (
            "the newest snapshot is taken for the best one: to choose by a distance takes "
            f"{MIN_IMAGES} real images of a split and as many evaluate.selection_fakes"
        )
        seen = snapshots.newest.origin.images_seen
        facts = SelectionFacts(key=None, seed=None, best=seen, curve=[])
        return snapshots.newest, facts, [note]
    seed, count, number = settings.selection_seed, settings.selection_fakes, metric.numbers[0]
    best, least, curve = snapshots.newest, math.inf, []
    for subject in snapshots:
        fakes = extract_subject_features(subject, seed, count, [extractor], batch_size)
        compared = metric.compare(reference.features[extractor.name], fakes[extractor.name])
        distance = compared[number.name]
        curve.append((subject.origin.images_seen, round_value(distance)))
        if distance < least:
            best, least = subject, distance
    used = min(count, metric.max_fakes or count)
    small = small_side(used, reference.facts.count or used) if metric.biased else None
    marks = precision_marks(extractor.precision)
    key = metric_key(number, extractor.name, used, reference.tag, small, marks)
    notes = []
    if metric is not load_metric(PREFERRED[0]):
        notes.append(
            f"the best snapshot is chosen by {key}: there are too few images for a Fréchet "
            "distance without evaluate.allow_small"
        )
    facts = SelectionFacts(key=key, seed=seed, best=best.origin.images_seen, curve=curve)
    return best, facts, notes


def _can_select(
    metric: Metric, reference: Reference, extractor: str, settings: EvaluateParams
) -> bool:
    # few selection_fakes need no allow_small: all snapshots have equally many
    fakes = max(settings.num_fakes, settings.selection_fakes)
    enough = min(reference.facts.count or fakes, settings.selection_fakes) >= MIN_IMAGES
    return enough and find_obstacle(metric, reference, extractor, fakes, settings) is None
