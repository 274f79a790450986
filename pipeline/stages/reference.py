"""The reference stage: what extractors see in the real images, one file a split and extractor."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan.atomic import write_atomically
from gan.devices import choose
from gan.features.extraction import FeatureSet, chunk_size
from gan.features.extractor import Extractor
from gan.metrics.frechet_distance import frechet_distance
from gan.metrics.kernel_distance import MIN_IMAGES, kernel_distance
from gan.metrics.metric_names import metric_key, precision_marks, small_side
from gan.params.file import Params
from gan.tensor_cache import Split, TensorCache
from pipeline.console import say
from pipeline.features.extractors import available_extractors
from pipeline.features.inception_file import missing_message, weights_file
from pipeline.features.sources import CacheSplit
from pipeline.features.store import FeatureStore
from pipeline.paths import Paths

SPLITS: tuple[Split, ...] = ("train", "holdout")


@dataclass(frozen=True)
class ReferenceSummary:
    """What the stage wrote: its files, the images of each split, what is missing."""

    extractors: Sequence[str]
    files: Sequence[Path]
    counts: Mapping[str, int]
    floors: Mapping[str, float]
    missing: str | None


def run(params: Params, paths: Paths) -> ReferenceSummary:
    """Read cache/ and weights/, write reference/ and reports/reference.json.

    The report holds distances between the real images of both splits: what a generator can
    hardly fall below, and how much of a hold-out number is the count's doing. Splits without
    images, or with a single one, are left out. Raises GanError if the cache is absent or damaged.
    """
    cache = TensorCache.open(paths.cache)
    splits = _splits(cache)
    wanted = "inception" in params.features.extractors
    missing = missing_message(paths) if wanted and not weights_file(paths).exists() else None
    if missing:
        say(missing)
    extractors = available_extractors(params.features, paths, choose("auto", "float32").device)
    store = FeatureStore(paths.features, paths.reference)
    size = chunk_size(params.features.batch_size)
    paths.reference.mkdir(parents=True, exist_ok=True)  # an out, even if nothing is in it
    files = [file for split in splits.values() for file in store.export(split, extractors, size)]
    _remove_others(paths.reference, set(files))
    seen = {name: store.get(split, extractors, size) for name, split in splits.items()}
    floors: dict[str, float] = {}
    for row, extractor in enumerate(extractors):
        floors |= _floors(extractor, {name: sets[row] for name, sets in seen.items()})
    text = json.dumps(floors, indent=1, sort_keys=True) + "\n"
    write_atomically(paths.reports / "reference.json", text)
    counts: dict[str, int] = {name: len(each) for name, each in splits.items()}
    names = [each.name for each in extractors]
    return ReferenceSummary(names, files, counts, floors, missing)


def _splits(cache: TensorCache) -> dict[str, CacheSplit]:
    """Those with images enough for statistics; says of a single image that it is left out."""
    found: dict[str, CacheSplit] = {}
    for name in SPLITS:
        count = len(cache.split(name))
        if count >= 2:
            found[name] = CacheSplit(cache, name)
        elif count:
            say(f"reference: the {name} split has a single image; statistics need 2: left out")
    return found


def _floors(extractor: Extractor, seen: Mapping[str, FeatureSet]) -> dict[str, float]:
    """Distances of the hold-out's images to the training's, rounded as all numbers are."""
    if len(seen) < len(SPLITS):
        return {}
    train, holdout = (seen[name] for name in SPLITS)
    count, held = train.count, holdout.count
    small = small_side(count, held, allow_small=True)
    marks = precision_marks(extractor.precision)
    frechet = metric_key("frechet", extractor.name, count, "holdout", small, marks)
    found = {f"{frechet}_real": frechet_distance(train.statistics, holdout.statistics)}
    if min(count, held) >= MIN_IMAGES:
        kernel = metric_key("kernel", extractor.name, count, "holdout", None, marks)
        found[f"{kernel}_real"] = kernel_distance(train.vectors, holdout.vectors).value
    return {key: float(f"{value:.6g}") for key, value in found.items()}


def _remove_others(folder: Path, kept: set[Path]) -> None:
    """Files of weights that are gone, or of an earlier format, would look up to date."""
    for path in folder.glob("*.np[yz]"):
        if path not in kept:
            path.unlink()
