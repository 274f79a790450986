"""Checks of an evaluation's credibility, for the report: sample sizes, seeds, selection, data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gan.metrics.metric_names import ENOUGH_IMAGES
from pipeline.evaluation.format_number import count

ENOUGH_SEEDS = 3
MAX_KEYS = 4  # in one sentence

State = Literal["ok", "doubt", "bad"]


@dataclass(frozen=True)
class Check:
    """One aspect of an evaluation, its state, and a sentence about it."""

    state: State
    about: str
    text: str


Result = Mapping[str, Any]


def check_result(result: Result) -> list[Check]:
    """Check everything that a sceptical reader would ask, in a fixed order."""
    always = [
        _data(result),
        _selection(result),
        _seeds(result),
        _sample_size(result),
        _fid(result),
    ]
    return [*always, *_precision(result), _memorisation(result), *_still_improving(result)]


def other_data(result: Result) -> list[str]:
    """List the references that are not a checkpoint's training data."""
    if "trained_on" not in result["subject"]:
        return []
    return [name for name, each in result["references"].items() if each["other"]]


def _data(result: Result) -> Check:
    about = "Data"
    if "trained_on" not in result["subject"]:
        answer = "A folder of images: the training data of their generator is unknown."
        return Check("doubt", about, answer)
    if not result["references"]:
        return Check("doubt", about, "Compared with no real images.")
    others = other_data(result)
    if others:
        return Check(
            "bad", about, f"Compared with other data than its training data: {_join(others)}."
        )
    return Check("ok", about, "Compared with the data it was trained on.")


def _selection(result: Result) -> Check:
    about, selection = "Selection", result["selection"]
    if selection is None:
        return Check(
            "doubt", about, "A given checkpoint: it was not selected among snapshots here."
        )
    if selection["key"] is None:
        answer = "The newest snapshot: too few real images to select one by a distance."
        return Check("doubt", about, answer)
    if selection["seed"] in result["protocol"]["seeds"]:
        answer = f"Seed {selection['seed']} selects the snapshot and is reported: biased."
        return Check("bad", about, answer)
    return Check("ok", about, f"Selected on seed {selection['seed']}, reported on other seeds.")


def _seeds(result: Result) -> Check:
    about, seeds = "Spread", result["protocol"]["seeds"]
    deviations = [each["deviation"] for each in result["metrics"].values()]
    if not deviations:
        return Check("doubt", about, "No metric was computed.")
    if all(each is None for each in deviations):
        return Check("doubt", about, "One sample set: the deviation over latent seeds is unknown.")
    state: State = "ok" if len(seeds) >= ENOUGH_SEEDS else "doubt"
    return Check(state, about, f"Means and standard deviations over {len(seeds)} latent seeds.")


def _sample_size(result: Result) -> Check:
    about = "Sample size"
    sizes = {
        key: None if each["reals"] is None else min(each["fakes"], each["reals"])
        for key, each in result["metrics"].items()
        if each["metric"] in ("frechet", "infinity")
    }
    unknown = [key for key, smaller in sizes.items() if smaller is None]
    few = [
        key for key, smaller in sizes.items() if smaller is not None and smaller < ENOUGH_IMAGES
    ]
    if few:
        return Check(
            "doubt",
            about,
            f"Fewer than {count(ENOUGH_IMAGES)} fakes or real images: {_join(few)}.",
        )
    if unknown:
        return Check("doubt", about, f"Unknown number of real images: {_join(unknown)}.")
    if not sizes:
        return Check("doubt", about, "No Fréchet distance was computed.")
    return Check(
        "ok",
        about,
        f"Every Fréchet distance has at least {count(ENOUGH_IMAGES)} fakes and real images.",
    )


def _fid(result: Result) -> Check:
    about = "FID"
    if any(each["extractor"] == "inception" for each in result["metrics"].values()):
        return Check(
            "ok",
            about,
            "Features of pytorch-fid's Inception network: its Fréchet distances are FIDs.",
        )
    if "inception" in result["protocol"]["extractors"]:
        return Check("doubt", about, "Too few images for any metric of Inception.")
    return Check(
        "doubt", about, "No Inception features: nothing here is comparable with published FIDs."
    )


def _precision(result: Result) -> Iterator[Check]:
    extractors = result["protocol"]["extractors"].items()
    narrow = [name for name, each in extractors if each["precision"] != "float32"]
    if narrow:
        yield Check("doubt", "Precision", f"Features not in float32: {_join(narrow)}.")


def _memorisation(result: Result) -> Check:
    about, tests = "Memorisation", result["memorisation"] or {}
    suspicious = [name for name, each in tests.items() if each["suspicious"]]
    if suspicious:
        answer = f"Fakes lie too close to training images: {_join(suspicious)}."
        return Check("bad", about, answer)
    if not tests:
        return Check("doubt", about, "Not tested: copies of training images would go unnoticed.")
    return Check("ok", about, "Fakes lie no closer to training images than new images do.")


def _still_improving(result: Result) -> Iterator[Check]:
    selection = result["selection"]
    if selection and len(selection["curve"]) > 1:
        last = max(images for images, _ in selection["curve"])
        if selection["best"] == last:
            answer = "The best snapshot is the last one: longer training may do better."
            yield Check("doubt", "Training", answer)


def _join(names: list[str]) -> str:
    rest = len(names) - MAX_KEYS
    first = ", ".join(names[:MAX_KEYS])
    return f"{first} and {rest} more" if rest > 0 else first
