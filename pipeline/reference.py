"""The reference stage: feature statistics of the real images, one file an extractor."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gan.cache import Images, Split, TensorCache
from gan.devices import choose
from gan.durable import write_atomically
from gan.errors import GanError
from gan.metrics.evaluation import feature_statistics, image_batches
from gan.metrics.features import Extractor
from gan.metrics.frechet import frechet_distance
from gan.metrics.keys import metric_key, small_side
from gan.metrics.reference import Reference
from gan.metrics.statistics import Statistics
from gan.params import Params
from pipeline.extractors import available_extractors, reference_file
from pipeline.paths import Paths
from pipeline.progress import track
from pipeline.weights import missing_message, weights_file

SPLITS: tuple[Split, ...] = ("train", "holdout")


@dataclass(frozen=True)
class ReferenceSummary:
    """What the stage wrote: a file an extractor, the images of each split, what is missing."""

    files: Mapping[str, Path]
    counts: Mapping[str, int]
    floors: Mapping[str, float]
    missing: str | None


def run(params: Params, paths: Paths) -> ReferenceSummary:
    """Read cache/ and weights/, write reference/<extractor>.npz and reports/reference.json.

    The report holds the distance between the real images of both splits: what a generator can
    hardly fall below, and how much of a hold-out number is the count's doing. Splits without
    images are left out. Raises GanError if the cache is absent or damaged, or if a split has a
    single image.
    """
    cache = TensorCache.open(paths.cache)
    splits = _splits(cache)
    missing = None if weights_file(paths).exists() else missing_message(paths)
    if missing:
        print(missing, file=sys.stderr)  # noqa: T201
    device = choose("auto", "float32").device
    files: dict[str, Path] = {}
    floors: dict[str, float] = {}
    for extractor in available_extractors(params.features, paths, device):
        reference = _look(extractor, cache.digest, splits, params.features.batch_size)
        files[extractor.name] = reference_file(paths, extractor)
        reference.save(files[extractor.name])
        floors |= _floor(reference)
    _remove_others(paths.reference, set(files.values()))
    rounded = {key: float(f"{value:.6g}") for key, value in floors.items()}
    text = json.dumps(rounded, indent=1, sort_keys=True) + "\n"
    paths.reports.mkdir(parents=True, exist_ok=True)
    write_atomically(paths.reports / "reference.json", text)
    counts: dict[str, int] = {name: len(each) for name, each in splits.items()}
    return ReferenceSummary(files, counts, floors, missing)


def _floor(reference: Reference) -> dict[str, float]:
    if len(reference.splits) < len(SPLITS):
        return {}
    train, holdout = (reference.splits[name] for name in SPLITS)
    small = small_side(train.count, holdout.count, allow_small=True)
    key = metric_key(reference.extractor, train.count, "holdout", small)
    return {f"{key}_real": frechet_distance(train, holdout)}


def _splits(cache: TensorCache) -> dict[Split, Images]:
    splits = {name: cache.split(name) for name in SPLITS if len(cache.split(name))}
    for name, images in splits.items():
        if len(images) < 2:
            raise GanError(
                f"{cache.folder}: the {name} split has 1 image, statistics need 2; scrape more "
                "images or change preprocess.holdout"
            )
    return splits


def _look(
    extractor: Extractor, cache_digest: str, splits: Mapping[Split, Images], batch_size: int
) -> Reference:
    statistics: dict[str, Statistics] = {
        name: _statistics(extractor, name, images, batch_size) for name, images in splits.items()
    }
    return Reference(extractor.name, extractor.digest, cache_digest, statistics)


def _statistics(extractor: Extractor, split: str, images: Images, batch_size: int) -> Statistics:
    batches = image_batches(images, batch_size)
    total = math.ceil(len(images) / batch_size)
    shown = track(batches, f"{extractor.name}: {split} images, batches", total)
    return feature_statistics(shown, extractor, batch_size)


def _remove_others(folder: Path, kept: set[Path]) -> None:
    """Statistics of weights that are gone, or of an earlier format, would look up to date."""
    for path in folder.glob("*.npz"):
        if path not in kept:
            path.unlink()
