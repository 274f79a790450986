"""The reference stage: features and statistics of the real images, by split and extractor."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan.atomic import write_atomically
from gan.devices import choose_compute
from gan.features.extraction import chunk_size
from gan.features.extractor import Extractor
from gan.features.statistics import FeatureSet
from gan.metrics.frechet_distance import METRIC as FRECHET
from gan.metrics.kernel_distance import METRIC as KERNEL
from gan.metrics.metric import metric_key, precision_marks, small_side
from gan.params.file import Params
from gan.tensor_cache import Split, TensorCache
from pipeline.console import say
from pipeline.features.extractors import available_extractors
from pipeline.features.inception_file import missing_note
from pipeline.features.sources import CacheSplit
from pipeline.features.store import FeatureStore
from pipeline.paths import Paths

SPLITS: tuple[Split, ...] = ("train", "holdout")
MIN_SPLIT = 2  # images that statistics need


@dataclass(frozen=True)
class ReferenceSummary:
    """Result of the stage: extractors, files, images by split, distances between splits by key."""

    extractors: Sequence[str]
    files: Sequence[Path]
    counts: Mapping[str, int]
    floors: Mapping[str, float]


def run(params: Params, paths: Paths) -> ReferenceSummary:
    """Read cache/ and weights/, write reference/ and reports/reference.json.

    The report holds distances between the real images of both splits: a floor that a generator
    can hardly reach, and the share of a hold-out metric that is due to the sample size. Splits
    with fewer than two images are left out. Raises GanError if the cache is absent or damaged.
    """
    cache = TensorCache.open(paths.cache)
    sizes = {name: len(cache.split(name)) for name in SPLITS}
    splits = {name: CacheSplit(cache, name) for name in SPLITS if sizes[name] >= MIN_SPLIT}
    for name in SPLITS:
        if 0 < sizes[name] < MIN_SPLIT:
            say(f"reference: the {name} split has a single image; statistics need 2: left out")
    for note in missing_note(params.features, paths):
        say(note)
    extractors = available_extractors(
        params.features, paths, choose_compute("auto", "float32").device
    )

    store, size = FeatureStore(paths.features, paths.reference), params.features.batch_size
    paths.reference.mkdir(parents=True, exist_ok=True)  # an out, even if it stays empty
    chunk = chunk_size(size)
    files = [file for split in splits.values() for file in store.export(split, extractors, chunk)]
    for path in paths.reference.glob("*.np[yz]"):
        if path not in files:  # of an extractor that is no longer named, or of an earlier format
            path.unlink()

    features = {name: store.get(split, extractors, chunk) for name, split in splits.items()}
    floors: dict[str, float] = {}
    if len(splits) == len(SPLITS):
        for extractor, *sets in zip(extractors, *features.values(), strict=True):
            floors |= _real_distances(extractor, *sets)
    text = json.dumps(floors, indent=1, sort_keys=True) + "\n"
    write_atomically(paths.reports / "reference.json", text)
    counts: dict[str, int] = {name: len(split) for name, split in splits.items()}
    return ReferenceSummary([each.name for each in extractors], files, counts, floors)


def _real_distances(
    extractor: Extractor, train: FeatureSet, holdout: FeatureSet
) -> dict[str, float]:
    """Compute distances between the splits, rounded as all metrics are."""
    counts, marks = (train.count, holdout.count), precision_marks(extractor.precision)
    distances = {}
    for metric in (FRECHET, KERNEL):
        if metric.compare and min(counts) >= metric.min_images:
            number, small = metric.numbers[0], small_side(*counts) if metric.biased else None
            key = metric_key(number, extractor.name, counts[0], "holdout", small, marks)
            value = metric.compare(train, holdout)[number.name]
            distances[f"{key}_real"] = float(f"{value:.6g}")
    return distances
