"""Checks of an evaluation's credibility, for the report: sample sizes, seeds, selection, data."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from gan.metrics.build import load_metric
from gan.metrics.metric import ENOUGH_IMAGES
from gan.metrics.registry import METRICS
from pipeline.console import list_first
from pipeline.evaluation.result import EvaluationResult, FolderFacts

ENOUGH_SEEDS = 3

Answer = tuple[Literal["ok", "doubt", "bad"], str]


class Check(NamedTuple):
    """One aspect of an evaluation, its state, and a sentence about it."""

    about: str
    state: Literal["ok", "doubt", "bad"]
    text: str


def check_result(result: EvaluationResult) -> Iterator[Check]:
    """Check everything that a sceptical reader would ask, in a fixed order."""
    yield Check("Data", *_check_data(result))
    yield Check("Selection", *_check_selection(result))
    yield Check("Spread", *_check_spread(result))
    yield Check("Sample size", *_check_sample_size(result))
    yield Check("FID", *_check_fid(result))
    extractors = result.protocol.extractors.items()
    if narrow := [name for name, each in extractors if each.precision != "float32"]:
        yield Check("Precision", "doubt", f"Features not in float32: {list_first(narrow)}.")
    yield Check("Memorisation", *_check_memorisation(result))
    selection = result.selection
    if selection and len(selection.curve) > 1 and selection.best == selection.curve[-1][0]:
        text = "The best snapshot is the last one: longer training may do better."
        yield Check("Training", "doubt", text)


def _check_data(result: EvaluationResult) -> Answer:
    if isinstance(result.subject, FolderFacts):
        return "doubt", "A folder of images: the training data of their generator is unknown."
    if not result.references:
        return "doubt", "Compared with no real images."
    if others := list_first(result.other_data):
        return "bad", f"Compared with other data than its training data: {others}."
    return "ok", "Compared with the data it was trained on."


def _check_selection(result: EvaluationResult) -> Answer:
    selection = result.selection
    if selection is None:
        return "doubt", "A given checkpoint: it was not selected among snapshots here."
    if selection.key is None:
        return "doubt", "The newest snapshot: too few real images to select one by a distance."
    if selection.seed in result.protocol.seeds:
        return "bad", f"Seed {selection.seed} selects the snapshot and is reported: biased."
    return "ok", f"Selected on seed {selection.seed}, reported on other seeds."


def _check_spread(result: EvaluationResult) -> Answer:
    if not result.metrics:
        return "doubt", "No metric was computed."
    if all(each.deviation is None for each in result.metrics.values()):
        return "doubt", "One sample set: the deviation over latent seeds is unknown."
    seeds = len(result.protocol.seeds)
    text = f"Means and standard deviations over {seeds} latent seeds."
    return "ok" if seeds >= ENOUGH_SEEDS else "doubt", text


def _check_sample_size(result: EvaluationResult) -> Answer:
    """Check the metrics that depend on how many images there are."""
    metrics = [load_metric(name) for name in METRICS]
    biased = {number.name for each in metrics if each.biased for number in each.numbers}
    unknown, few = [], []
    for key, each in result.metrics.items():
        if each.metric in biased and each.reals is None:
            unknown.append(key)
        elif each.metric in biased and min(each.fakes, each.reals or 0) < ENOUGH_IMAGES:
            few.append(key)
    if few:
        return "doubt", f"Fewer than {ENOUGH_IMAGES:,} fakes or real images: {list_first(few)}."
    if unknown:
        return "doubt", f"Unknown number of real images: {list_first(unknown)}."
    return "ok", f"At least {ENOUGH_IMAGES:,} fakes and real images, where the metric asks."


def _check_fid(result: EvaluationResult) -> Answer:
    if any(each.extractor == "inception" for each in result.metrics.values()):
        return "ok", "Features of pytorch-fid's Inception: its Fréchet distances are FIDs."
    if "inception" in result.protocol.extractors:
        return "doubt", "Too few images for any metric of Inception."
    return "doubt", "No Inception features: nothing here is comparable with published FIDs."


def _check_memorisation(result: EvaluationResult) -> Answer:
    tests = result.memorisation
    if suspicious := [name for name, each in tests.items() if each.suspicious]:
        return "bad", f"Fakes lie too close to training images: {list_first(suspicious)}."
    if not tests:
        return "doubt", "Not tested: copies of training images would go unnoticed."
    return "ok", "Fakes lie no closer to training images than new images do."
