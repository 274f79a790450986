"""How two keys of one metric differ: weights, fakes, real images, extractor, precision."""

import re
from collections.abc import Iterable, Mapping, Sequence

from gan.metrics.metric_names import KEY_PREFIXES
from pipeline.evaluation.format_number import count

COUNT = re.compile(r"_(\d+)(k?)(?:_|$)")
HALVES = ("bf16", "fp16")
SMALL = re.compile(r"_?small(\d+)$")


def aspects(key: str, metric: str) -> Mapping[str, str]:
    """What a key says of its number, by the name of what differs; {} if it says nothing."""
    found = COUNT.search(key)
    names = [name for name in KEY_PREFIXES.get(metric, (metric,)) if key.startswith(f"{name}_")]
    if found is None or not names:
        return {}
    name = max(names, key=len)
    before = [part for part in key[len(name) : found.start()].split("_") if part]
    marks = [part for part in before if part in ("raw", *HALVES)]
    extractor = "_".join(part for part in before if part not in marks)
    after = key[found.end() :]
    small = SMALL.search(after)
    return {
        "weights": "raw" if "raw" in marks else "averaged",
        "number of fakes": count(int(found[1]) * (1000 if found[2] else 1)),
        "real images": SMALL.sub("", after) or "train",
        "extractor": extractor or "inception",
        "precision": next((mark for mark in marks if mark in HALVES), "float32"),
        "fewest images on a side": small[1] if small else "enough",
    }


def differences(one: str, other: str, metric: str) -> list[str]:
    """What differs between two keys of a metric, such as `weights (averaged against raw)`."""
    here, there = aspects(one, metric), aspects(other, metric)
    return [
        f"{name} ({here[name]} against {there[name]})"
        for name in here
        if name in there and here[name] != there[name]
    ]


def nearest(key: str, others: Iterable[str], metric: str) -> tuple[str, Sequence[str]] | None:
    """The other key of that metric which differs least, and how; None if there is none."""
    found = [(other, differences(key, other, metric)) for other in sorted(others) if other != key]
    return min((each for each in found if each[1]), key=lambda each: len(each[1]), default=None)
