"""Whether to believe an evaluation: what speaks for its numbers, and what against them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gan.metrics.metric_names import ENOUGH_IMAGES
from pipeline.evaluation.format_number import count

ENOUGH_SEEDS = 3
MOST_KEYS = 4  # named in one sentence

State = Literal["ok", "doubt", "bad"]


@dataclass(frozen=True)
class Check:
    """One question to the numbers, and its answer in a sentence."""

    state: State
    about: str
    answer: str


Result = Mapping[str, Any]


def checks(result: Result) -> list[Check]:
    """Everything that a sceptical reader would ask, in a fixed order."""
    found = [_data(result), _choice(result), _seeds(result), _counts(result), _fid(result)]
    return [*found, *_narrow(result), _memorised(result), *_still_falling(result)]


def other_data(result: Result) -> list[str]:
    """Names of references that are not the data which a checkpoint was trained on."""
    if "trained_on" not in result["subject"]:
        return []
    return [name for name, each in result["references"].items() if each["other"]]


def _data(result: Result) -> Check:
    about = "Data"
    if "trained_on" not in result["subject"]:
        answer = "Given images: what their generator was trained on is unknown."
        return Check("doubt", about, answer)
    if not result["references"]:
        return Check("doubt", about, "Judged against no real images.")
    others = other_data(result)
    if others:
        return Check("bad", about, f"Not the data it was trained on: {_listed(others)}.")
    return Check("ok", about, "Judged against the data it was trained on.")


def _choice(result: Result) -> Check:
    about, selection = "Choice", result["selection"]
    if selection is None:
        return Check("doubt", about, "Chosen elsewhere: nothing here says why it was judged.")
    if selection["key"] is None:
        answer = "The newest snapshot: there are too few real images to choose by."
        return Check("doubt", about, answer)
    if selection["seed"] in result["protocol"]["seeds"]:
        answer = f"Seed {selection['seed']} chose the snapshot and reports on it: too good."
        return Check("bad", about, answer)
    return Check("ok", about, f"Chosen on seed {selection['seed']}, reported on others.")


def _seeds(result: Result) -> Check:
    about, seeds = "Spread", result["protocol"]["seeds"]
    deviations = [each["deviation"] for each in result["metrics"].values()]
    if not deviations:
        return Check("doubt", about, "No number was measured.")
    if all(each is None for each in deviations):
        return Check("doubt", about, "One set of fakes: what chance does to it is unknown.")
    state: State = "ok" if len(seeds) >= ENOUGH_SEEDS else "doubt"
    return Check(state, about, f"Means and standard deviations over {len(seeds)} latent seeds.")


def _counts(result: Result) -> Check:
    about = "Counts"
    distances = {
        key: None if each["reals"] is None else min(each["fakes"], each["reals"])
        for key, each in result["metrics"].items()
        if each["metric"] in ("frechet", "infinity")
    }
    unknown = [key for key, smaller in distances.items() if smaller is None]
    few = [
        key
        for key, smaller in distances.items()
        if smaller is not None and smaller < ENOUGH_IMAGES
    ]
    if few:
        return Check(
            "doubt", about, f"Fewer than {count(ENOUGH_IMAGES)} images on a side: {_listed(few)}."
        )
    if unknown:
        return Check("doubt", about, f"How many real images is unknown: {_listed(unknown)}.")
    if not distances:
        return Check("doubt", about, "No Fréchet distance was measured.")
    return Check(
        "ok", about, f"Every Fréchet distance has {count(ENOUGH_IMAGES)} images a side or more."
    )


def _fid(result: Result) -> Check:
    about = "FID"
    if any(each["extractor"] == "inception" for each in result["metrics"].values()):
        return Check(
            "ok",
            about,
            "The features are of pytorch-fid's Inception network: its numbers are FIDs.",
        )
    if "inception" in result["protocol"]["extractors"]:
        return Check("doubt", about, "There are too few images for a number of Inception.")
    return Check(
        "doubt", about, "Inception did not look: nothing here compares with published FIDs."
    )


def _narrow(result: Result) -> Iterator[Check]:
    extractors = result["protocol"]["extractors"].items()
    narrow = [name for name, each in extractors if each["precision"] != "float32"]
    if narrow:
        yield Check("doubt", "Arithmetic", f"Features not in float32: {_listed(narrow)}.")


def _memorised(result: Result) -> Check:
    about, tests = "Memorisation", result["memorisation"] or {}
    suspicious = [name for name, each in tests.items() if each["suspicious"]]
    if suspicious:
        answer = f"Fakes lie too close to training images: {_listed(suspicious)}."
        return Check("bad", about, answer)
    if not tests:
        return Check("doubt", about, "Not measured: it may repeat its training images.")
    return Check("ok", about, "Fakes lie no closer to training images than new images do.")


def _still_falling(result: Result) -> Iterator[Check]:
    selection = result["selection"]
    if selection and len(selection["curve"]) > 1:
        last = max(images for images, _ in selection["curve"])
        if selection["best"] == last:
            answer = "The best snapshot is the last one: longer training may do better."
            yield Check("doubt", "Training", answer)


def _listed(names: list[str]) -> str:
    rest = len(names) - MOST_KEYS
    shown = ", ".join(names[:MOST_KEYS])
    return f"{shown} and {rest} more" if rest > 0 else shown
