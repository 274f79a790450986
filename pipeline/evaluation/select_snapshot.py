"""Selection of the best snapshot: one cheap distance for each, on a latent seed of its own.

The distance is of the first extractor and the first possible reference: a Fréchet distance, or
with too few images for that the kernel distance, which is unbiased. With too few even for that,
the newest snapshot is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.checkpoints import load_generator
from gan.errors import GanError
from gan.features.extraction import chunk_size
from gan.features.extractor import Extractor
from gan.metrics.kernel_distance import MIN_IMAGES
from gan.metrics.metric_names import metric_key, precision_marks, small_side
from gan.params.evaluation import EvaluateParams
from gan.tensor_cache import TensorCache
from pipeline.evaluation.evaluate_subject import extract_subject_features
from pipeline.evaluation.metrics import METRICS, Reference, find_obstacle
from pipeline.evaluation.references import References
from pipeline.evaluation.results import round_value
from pipeline.evaluation.subject import CheckpointSubject, require_same_data

PREFERRED = {"frechet_distance": "frechet", "kernel_distance": "kernel"}
"""Distances in the order of preference, and their names in a result."""

USUAL = next(iter(PREFERRED))


@dataclass(frozen=True)
class Snapshot:
    """A candidate: its file, and the images that its training had seen."""

    path: Path
    images_seen: int


@dataclass(frozen=True)
class Selection:
    """The best snapshot, and the distances of all in the order of training.

    key and seed are None and the curve is empty if the newest snapshot was taken without a
    distance. notes: lines for a reader, if it wasn't selected by a Fréchet distance.
    """

    best: Snapshot
    key: str | None
    seed: int | None
    curve: Sequence[tuple[int, float]]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return its part of an evaluation's result."""
        return {
            "key": self.key,
            "seed": self.seed,
            "best": self.best.images_seen,
            "curve": [[seen, round_value(distance)] for seen, distance in self.curve],
        }


def find_snapshots(folder: Path, cache: TensorCache) -> list[Path]:
    """List a training's snapshots, oldest first.

    Raises GanError if there is none, or one was trained on other data than the cache's.
    """
    snapshots = sorted(folder.glob("*.pt"))
    if not snapshots:
        raise GanError(f"{folder}: no snapshot to evaluate; run `gan train`")
    for path in snapshots:
        require_same_data(path, load_generator(path)[1].cache_digest, cache, "run `gan train`")
    return snapshots


def select_snapshot(
    snapshots: Sequence[Path], references: References, settings: EvaluateParams, batch_size: int
) -> Selection:
    """Select among a training's snapshots, given in its order; of equal ones the first."""
    for metric in PREFERRED:
        if reference := _find_reference(metric, references, settings):
            return _select_by(
                snapshots, metric, reference, references.extractors[0], settings, batch_size
            )
    note = (
        "the newest snapshot is taken for the best one: to choose by a distance takes "
        f"{MIN_IMAGES} real images of a split and as many evaluate.selection_fakes"
    )
    newest = CheckpointSubject.open(snapshots[-1])
    return Selection(Snapshot(newest.path, newest.origin.images_seen), None, None, [], [note])


def _find_reference(
    metric: str, references: References, settings: EvaluateParams
) -> Reference | None:
    """Find the first reference that allows this distance, None if none does."""
    extractor = references.extractors[0].name
    # few selection_fakes need no allow_small: all snapshots have equally many
    fakes = max(settings.num_fakes, settings.selection_fakes)
    for each in references.items:
        enough = min(each.count or fakes, settings.selection_fakes) >= MIN_IMAGES
        if enough and find_obstacle(METRICS[metric], each, extractor, fakes, settings) is None:
            return each
    return None


def _select_by(
    snapshots: Sequence[Path],
    metric: str,
    reference: Reference,
    extractor: Extractor,
    settings: EvaluateParams,
    batch_size: int,
) -> Selection:
    """Select the snapshot with the smallest distance to the reference."""
    seed, count = settings.selection_seed, settings.selection_fakes
    size = chunk_size(batch_size)
    definition, real = METRICS[metric], reference.features[extractor.name]
    points: list[tuple[Snapshot, float]] = []
    for path in snapshots:
        subject = CheckpointSubject.open(path)
        fake = extract_subject_features(subject, seed, count, [extractor], size)[extractor.name]
        distance = definition.compute(real, fake)[PREFERRED[metric]]
        points.append((Snapshot(path, subject.origin.images_seen), distance))
    best, _ = min(points, key=lambda point: point[1])
    used = min(count, definition.max_fakes or count)
    small = small_side(used, reference.count or used) if definition.biased else None
    marks = precision_marks(extractor.precision)
    key = metric_key(PREFERRED[metric], extractor.name, used, reference.tag, small, marks)
    notes = []
    if metric != USUAL:
        notes.append(
            f"the best snapshot is chosen by {key}: there are too few images for a Fréchet "
            "distance without evaluate.allow_small"
        )
    curve = [(snapshot.images_seen, distance) for snapshot, distance in points]
    return Selection(best, key, seed, curve, notes)
