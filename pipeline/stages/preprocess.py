"""The preprocess stage: raw dataset to tensor cache, cleaned, without duplicates, and split.

Which images are in is decided here, on arrays of facts; bytes become avatars in images/, on all
cores, which write them into the cache themselves.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.params.data import PreprocessParams
from gan.params.file import Params
from gan.tensor_cache import TensorCache, cache_digest
from pipeline.console import progress, say
from pipeline.dataset.reader import Dataset
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import png
from pipeline.preprocessing.cache_statistics import Cached
from pipeline.preprocessing.cache_writer import (
    publishing,
    refuse_file,
    space_needed,
    staging_of,
    write_index,
    write_meta,
)
from pipeline.preprocessing.decoding.avatars import Recipe
from pipeline.preprocessing.faces.box_file import BoxFile
from pipeline.preprocessing.faces.detector import choose_detector
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.filters import NO_LIMITS
from pipeline.preprocessing.outcome import Outcome
from pipeline.preprocessing.plan import Plan, make_plan
from pipeline.preprocessing.recipe import decided, make_recipe, near_limits, resampling
from pipeline.preprocessing.report import PreprocessSummary, summarise, write
from pipeline.preprocessing.selection import choose, preferred
from pipeline.preprocessing.sheets.draw import draw
from pipeline.preprocessing.sheets.rejects import one_line
from pipeline.preprocessing.workers.image_slots import StagedImages, arrange
from pipeline.preprocessing.workers.pool import Work, hired, usable_cores
from pipeline.preprocessing.workers.worker import AVATARS, Bench, Task

Integers = NDArray[np.int64]

MOST_LICENCES = 20  # collections name one an artist


def run(params: Params, paths: Paths, workers: int | None = None) -> PreprocessSummary:
    """Build cache/ and its reports from data/; the same bytes for any number of workers.

    Raises GanError if the detector of faces is unfit, the dataset is not whole, no image can be
    used, or the disk is full; the cache that was there stays then.
    """
    settings = params.preprocess
    refuse_file(paths.reports)
    detector = choose_detector(settings.faces, paths.faces) if settings.crop == "faces" else None
    boxes = BoxFile.read(detector.file) if detector and detector.name == "boxes" else None
    recipe = make_recipe(settings, detector)
    dataset = Dataset.open(paths.data)
    bench = _bench(dataset, recipe, settings, staging_of(paths.cache) / "images.npy")
    with (
        hired(bench, _useful(workers or usable_cores(), dataset, bench)) as work,
        ThreadPoolExecutor() as threads,
    ):
        dataset.verify()
        plan = make_plan(dataset, settings.holdout, boxes)
        needed = space_needed(len(plan), settings.size, bench.slots)
        _say_space(paths.cache, needed, len(plan), settings)
        with publishing(paths.cache, needed) as folder:
            with closing(StagedImages(bench.target, settings.size, create=True)) as images:
                outcome = _outcome(dataset, plan, work, bench, settings, images)
                splits = _splits(outcome, bench.slots)
                _refuse_empty(splits, outcome)
                rejected = outcome.rejected(recipe.rules)
                drawn = draw(outcome, rejected, images, recipe)
                # packed while the rest goes on
                sheets = {name: threads.submit(png, sheet) for name, sheet in drawn.items()}
                slots = arrange(*splits)
                finished = threads.submit(images.finish, slots)
                try:
                    cached = _cached(outcome, slots, splits, decided(settings, recipe))
                    write_index(folder, cached.columns(plan, bench.hashes))
                finally:
                    wait((finished,))  # the file must not be closed under it
                finished.result()
            write_meta(folder, _meta(cached, settings, recipe, dataset, plan.licences))
            TensorCache.open(folder)
        summary = summarise(outcome, rejected, cached)
        write(paths.reports, summary, outcome, rejected, sheets)
    return summary


def _useful(workers: int, dataset: Dataset, bench: Bench) -> int:
    """No more workers than there are tasks."""
    return min(workers, -(-dataset.counts.get("ok", 0) // bench.chunk))


def _bench(dataset: Dataset, recipe: Recipe, settings: PreprocessParams, target: Path) -> Bench:
    return Bench(
        shards=dataset.shard_paths,
        recipe=recipe,
        target=target,
        slots=1 if recipe.faces is None else settings.faces.max_faces,
        hashes=settings.duplicates.near,
        looks=recipe.rules.looks,
    )


def _say_space(folder: Path, needed: int, pictures: int, settings: PreprocessParams) -> None:
    each = ", if each has one face" if settings.crop == "faces" else ""
    say(
        f"{folder.name}/: about {needed / 1e9:.2f} GB for {pictures:,} images of {settings.size} "
        f"pixels{each}; `dvc repro` keeps a copy, or a link (docs/cache.md)"
    )


def _outcome(
    dataset: Dataset,
    plan: Plan,
    work: Work,
    bench: Bench,
    settings: PreprocessParams,
    images: StagedImages,
) -> Outcome:
    """Have all avatars made, then choose among them."""
    avatars = np.zeros(len(plan), AVATARS)  # by faces there may come to be more
    left_out: list[tuple[int, Reject]] = []
    count = found = done = 0
    with (
        progress("preprocess", len(plan)) as advance,
        closing(work(_tasks(plan, bench.chunk))) as results,
    ):
        for result in results:
            end = count + len(result.avatars)
            if end > len(avatars):
                avatars = np.concatenate((avatars, np.zeros(max(end, len(avatars)), AVATARS)))
            avatars[count:end], count = result.avatars, end
            left_out += result.rejects
            found += result.found
            done += result.pictures
            advance(done, f"{count:,} candidates")  # which stay is decided among all of them
    avatars = avatars[:count]
    order = preferred(avatars, *plan.sizes(avatars["entry"]))
    choice = choose(avatars, order, bench.recipe.rules, near_limits(settings), images)
    return Outcome(dataset, plan, avatars, choice, left_out, found)


def _tasks(plan: Plan, length: int) -> Iterator[Task]:
    index = plan.index
    for first in range(0, len(plan), length):
        entries = range(first, min(first + length, len(plan)))
        image = plan.image[entries.start : entries.stop]
        noted = None
        if plan.noted is not None:
            noted = {entry: plan.noted[entry] for entry in entries if entry in plan.noted}
        yield Task(first, index.shard[image], index.offset[image], index.size[image], noted)


def _splits(outcome: Outcome, slots: int) -> tuple[Integers, Integers]:
    """Slots of the avatars that stay: those of train, those of holdout."""
    kept = outcome.avatars["slot"][outcome.choice.kept]
    behind = kept >= outcome.plan.train * slots
    return kept[~behind], kept[behind]


def _cached(
    outcome: Outcome, slots: Integers, splits: tuple[Integers, Integers], decided: dict[str, Any]
) -> Cached:
    rows = outcome.in_slots(slots)
    counts = {"train": len(splits[0]), "holdout": len(splits[1])}
    digest = cache_digest(outcome.avatars["digest"][rows], decided, counts)
    return Cached(outcome.avatars, rows, counts, decided["size"], digest)


def _meta(
    cached: Cached,
    settings: PreprocessParams,
    recipe: Recipe,
    dataset: Dataset,
    licences: Counter[str],
) -> dict[str, Any]:
    return {
        "settings": decided(settings, recipe),
        "filter": resampling(recipe),
        "snapshot": dataset.digest,
        "source": dataset.source,
        "licences": _most(licences),  # of the pictures that preprocess was given
        "counts": cached.counts,
        "statistics": cached.statistics,
        "digest": cached.digest,
    }


def _most(licences: Counter[str]) -> dict[str, int]:
    """The commonest ones and how many pictures have each; the rest as one number."""
    named = dict(licences.most_common(MOST_LICENCES))
    others = licences.total() - sum(named.values())
    return named | ({"others": others} if others else {})


def _refuse_empty(splits: tuple[Integers, Integers], outcome: Outcome) -> None:
    train, holdout = splits
    if len(train):
        return
    if len(holdout):
        raise GanError(
            f"no image is left to train on, {len(holdout)} are held out; lower "
            "preprocess.holdout or scrape more images"
        )
    if len(outcome.avatars):
        raise GanError(
            f"preprocess.filters leaves out all {len(outcome.avatars)} avatars; lower its limits, "
            "one after the other, and look at reports/filters.png"
        )
    if not outcome.left_out:
        raise GanError("the dataset holds no image at all; scrape again with another source")
    first = min(outcome.rejected(NO_LIMITS), key=lambda each: each.row)
    reason = f"{first.reject.reason} {first.reject.detail}".rstrip()
    raise GanError(
        f"none of {len({entry for entry, _ in outcome.left_out})} images can be used; the first, "
        f"{one_line(first.url)}: {one_line(reason)}; scrape again with another source, or change "
        "preprocess.filters or preprocess.faces"
    )
