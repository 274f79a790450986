"""Which snapshot is the best: one cheap distance of each, on latents of a seed of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from gan.features.extraction import chunk_size
from gan.metrics.frechet_distance import frechet_distance
from gan.metrics.metric_names import ENOUGH_IMAGES, metric_key, precision_marks, small_side
from gan.params.file import Params
from pipeline.evaluation.judge import looked
from pipeline.evaluation.metrics import MEASURES, Reference, obstacle
from pipeline.evaluation.references import Panel
from pipeline.evaluation.results import rounded
from pipeline.evaluation.subject import CheckpointSubject


@dataclass(frozen=True)
class Point:
    """A snapshot and its distance."""

    path: Path
    images_seen: int
    distance: float


@dataclass(frozen=True)
class Selection:
    """Distances of a training's snapshots, in the order of the training."""

    key: str
    seed: int
    curve: Sequence[Point]

    @property
    def best(self) -> Point:
        """The nearest one, the earlier of equal ones."""
        return min(self.curve, key=lambda point: point.distance)

    def described(self) -> dict[str, Any]:
        """What a result says of it."""
        return {
            "key": self.key,
            "seed": self.seed,
            "best": self.best.images_seen,
            "curve": [[each.images_seen, rounded(each.distance)] for each in self.curve],
        }


def select(snapshots: Sequence[Path], panel: Panel, params: Params) -> Selection:
    """Judge all snapshots by the first extractor, against the first reference that allows it."""
    settings, extractor = params.evaluate, panel.extractors[0]
    reference = _reference(panel, params)
    real, fakes = reference.seen[extractor.name].statistics, settings.selection_fakes
    size = chunk_size(params.features.batch_size)
    curve = []
    for path in snapshots:
        subject = CheckpointSubject.open(path)
        seen = looked(subject, settings.selection_seed, fakes, [extractor], size)
        distance = frechet_distance(real, seen[extractor.name].statistics)
        curve.append(Point(path, subject.origin.images_seen, distance))
    small = small_side(fakes, reference.count or fakes, allow_small=True)
    marks = precision_marks(extractor.precision)
    key = metric_key("frechet", extractor.name, fakes, reference.tag, small, marks)
    return Selection(key, settings.selection_seed, curve)


def _reference(panel: Panel, params: Params) -> Reference:
    measure, name = MEASURES["frechet_distance"], panel.extractors[0].name
    fakes = params.evaluate.num_fakes
    for each in panel.references:
        if obstacle(measure, each, name, fakes, params.evaluate) is None:
            return each
    raise GanError(
        f"evaluate: no split has {ENOUGH_IMAGES:,} images to choose a snapshot by; set "
        "evaluate.allow_small: true to choose by fewer"
    )
