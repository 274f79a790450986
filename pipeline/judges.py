"""Who judges a checkpoint: an extractor, with the real images' statistics it compares with."""

import sys
from dataclasses import dataclass

from gan.cache import Split, TensorCache
from gan.devices import choose
from gan.errors import GanError
from gan.metrics.features import Extractor
from gan.metrics.keys import ENOUGH, metric_key, small_side
from gan.metrics.reference import Reference
from gan.params import Params
from pipeline.extractors import available_extractors, reference_file
from pipeline.paths import Paths
from pipeline.weights import missing_message, weights_file


@dataclass(frozen=True)
class Judge:
    """One extractor with the statistics of the real images it compares with."""

    extractor: Extractor
    reference: Reference

    def splits(self, params: Params, fakes: int) -> dict[Split, int | None]:
        """Splits with images enough, with the smaller count where a small one was asked for."""
        chosen: dict[Split, int | None] = {}
        for split in params.evaluate.splits:
            if split not in self.reference.splits:
                continue
            real = self.reference.splits[split].count
            if min(real, fakes) < ENOUGH and not params.evaluate.allow_small:
                continue
            chosen[split] = small_side(fakes, real, params.evaluate.allow_small)
        return chosen


def judges(params: Params, paths: Paths, cache: TensorCache) -> list[Judge]:
    """Open all reference statistics first: what may fail should fail before the long part."""
    device = choose("auto", "float32").device
    found = []
    for extractor in available_extractors(params.features, paths, device):
        reference = Reference.load(reference_file(paths, extractor))
        reference.check(cache.digest, extractor.digest)
        judge = Judge(extractor, reference)
        if not judge.splits(params, params.evaluate.num_fakes):
            counts = {name: each.count for name, each in reference.splits.items()}
            raise GanError(
                f"evaluate: no split with {ENOUGH} images or more on both sides (real {counts}, "
                f"fakes {params.evaluate.num_fakes}); set evaluate.allow_small: true to compute "
                "anyway, the metric's key then says so"
            )
        found.append(judge)
    return found


def selection_key(params: Params, judge: Judge) -> str:
    """Name of the number that chooses among snapshots."""
    split, small = selection_split(params, judge)
    return metric_key(judge.extractor.name, params.evaluate.selection_fakes, split, small)


def selection_split(params: Params, judge: Judge) -> tuple[Split, int | None]:
    """The first split with images enough; the chooser is always the cheap extractor."""
    splits = judge.splits(params, params.evaluate.num_fakes)
    split = next(iter(splits))
    fakes = params.evaluate.selection_fakes
    smaller = min(fakes, judge.reference.splits[split].count)
    return split, smaller if smaller < ENOUGH else None


def say_what_is_missing(params: Params, paths: Paths, panel: list[Judge]) -> None:
    if not weights_file(paths).exists():
        print(missing_message(paths), file=sys.stderr)  # noqa: T201
    fakes = params.evaluate.num_fakes
    computed = panel[0].splits(params, fakes)
    for split in params.evaluate.splits:
        if split in computed:
            continue
        found = panel[0].reference.splits.get(split)
        why = (
            f"{found.count} real images against {fakes} generated ones, fewer than {ENOUGH} on a "
            "side (evaluate.allow_small: true computes a number under a name that says so)"
            if found
            else "the cache has no such images (preprocess.holdout)"
        )
        print(f"{split}: no number for this split: {why}", file=sys.stderr)  # noqa: T201
