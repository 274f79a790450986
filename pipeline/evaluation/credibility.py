"""Checks of an evaluation's credibility, for the report: sample sizes, seeds, selection, data."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from gan.metrics.build import load_metric
from gan.metrics.metric import ENOUGH_IMAGES
from gan.metrics.registry import METRICS
from pipeline.console import list_first
from pipeline.evaluation.format_number import count
from pipeline.evaluation.result import EvaluationResult, FolderFacts

ENOUGH_SEEDS = 3


class Check(NamedTuple):
    """One aspect of an evaluation, its state, and a sentence about it."""

    about: str
    state: Literal["ok", "doubt", "bad"]
    text: str


def check_result(result: EvaluationResult) -> Iterator[Check]:
    """Check everything that a sceptical reader would ask, in a fixed order."""
    yield _data(result)
    yield _selection(result)
    yield _seeds(result)
    yield _sample_size(result)
    yield _fid(result)
    extractors = result.protocol.extractors.items()
    if narrow := [name for name, each in extractors if each.precision != "float32"]:
        yield Check("Precision", "doubt", f"Features not in float32: {list_first(narrow)}.")
    yield _memorisation(result)
    selection = result.selection
    if selection and len(selection.curve) > 1 and selection.best == selection.curve[-1][0]:
        text = "The best snapshot is the last one: longer training may do better."
        yield Check("Training", "doubt", text)


def _data(result: EvaluationResult) -> Check:
    if isinstance(result.subject, FolderFacts):
        text = "A folder of images: the training data of their generator is unknown."
        return Check("Data", "doubt", text)
    if not result.references:
        return Check("Data", "doubt", "Compared with no real images.")
    if others := result.other_data:
        text = f"Compared with other data than its training data: {list_first(others)}."
        return Check("Data", "bad", text)
    return Check("Data", "ok", "Compared with the data it was trained on.")


def _selection(result: EvaluationResult) -> Check:
    selection = result.selection
    if selection is None:
        text = "A given checkpoint: it was not selected among snapshots here."
        return Check("Selection", "doubt", text)
    if selection.key is None:
        text = "The newest snapshot: too few real images to select one by a distance."
        return Check("Selection", "doubt", text)
    if selection.seed in result.protocol.seeds:
        text = f"Seed {selection.seed} selects the snapshot and is reported: biased."
        return Check("Selection", "bad", text)
    text = f"Selected on seed {selection.seed}, reported on other seeds."
    return Check("Selection", "ok", text)


def _seeds(result: EvaluationResult) -> Check:
    if not result.metrics:
        return Check("Spread", "doubt", "No metric was computed.")
    if all(each.deviation is None for each in result.metrics.values()):
        text = "One sample set: the deviation over latent seeds is unknown."
        return Check("Spread", "doubt", text)
    seeds = len(result.protocol.seeds)
    text = f"Means and standard deviations over {seeds} latent seeds."
    return Check("Spread", "ok" if seeds >= ENOUGH_SEEDS else "doubt", text)


def _sample_size(result: EvaluationResult) -> Check:
    """Check the metrics that depend on how many images there are."""
    biased = {key: each for key, each in result.metrics.items() if each.metric in _list_biased()}
    few = [
        key
        for key, each in biased.items()
        if min(each.fakes, each.reals or ENOUGH_IMAGES) < ENOUGH_IMAGES
    ]
    enough = count(ENOUGH_IMAGES)
    if few:
        text = f"Fewer than {enough} fakes or real images: {list_first(few)}."
        return Check("Sample size", "doubt", text)
    if unknown := [key for key, each in biased.items() if each.reals is None]:
        text = f"Unknown number of real images: {list_first(unknown)}."
        return Check("Sample size", "doubt", text)
    if not biased:
        return Check("Sample size", "doubt", "No Fréchet distance was computed.")
    text = f"Distances and shares have at least {enough} fakes and real images."
    return Check("Sample size", "ok", text)


def _list_biased() -> set[str]:
    """Names of numbers that depend on the sample size."""
    metrics = map(load_metric, METRICS)
    return {number.name for each in metrics if each.biased for number in each.numbers}


def _fid(result: EvaluationResult) -> Check:
    if any(each.extractor == "inception" for each in result.metrics.values()):
        text = "Features of pytorch-fid's Inception network: its Fréchet distances are FIDs."
        return Check("FID", "ok", text)
    if "inception" in result.protocol.extractors:
        return Check("FID", "doubt", "Too few images for any metric of Inception.")
    text = "No Inception features: nothing here is comparable with published FIDs."
    return Check("FID", "doubt", text)


def _memorisation(result: EvaluationResult) -> Check:
    tests = result.memorisation
    if suspicious := [name for name, each in tests.items() if each.suspicious]:
        text = f"Fakes lie too close to training images: {list_first(suspicious)}."
        return Check("Memorisation", "bad", text)
    if not tests:
        text = "Not tested: copies of training images would go unnoticed."
        return Check("Memorisation", "doubt", text)
    text = "Fakes lie no closer to training images than new images do."
    return Check("Memorisation", "ok", text)
