"""Keys of metrics, read: metric and direction, order of trust, in what two keys differ."""

import re
from collections.abc import Iterable, Mapping, Sequence

from gan.metrics.metric_names import KEY_PREFIXES
from pipeline.evaluation.format_number import count
from pipeline.evaluation.metric_texts import MEANINGS, Better

PREFIXES = {name: metric for metric in MEANINGS for name in KEY_PREFIXES.get(metric, (metric,))}
"""Metrics by the beginning of their keys."""

TRUST = ("frechet", "infinity", "kernel", "coverage", "density", "precision", "recall", "score")
"""Metrics to rank by, the most trusted first."""

COUNT = re.compile(r"_(\d+)(k?)(?:_|$)")
HALVES = ("bf16", "fp16")
SMALL = re.compile(r"_?small(\d+)$")


def metric_of(key: str) -> str:
    """Metric of a key, "" for an unknown one."""
    prefix = _prefix(key)
    return PREFIXES[prefix] if prefix else ""


def _prefix(key: str) -> str:
    return max((each for each in PREFIXES if key.startswith(f"{each}_")), key=len, default="")


def direction_of(key: str) -> Better:
    """Direction in which a metric is better."""
    return MEANINGS[metric_of(key)].better if metric_of(key) else "neither"


def trust_order(key: str) -> tuple[int | bool | str, ...]:
    """Sort key: fid_50k, fid_10k, other FIDs, other Fréchet distances, then other metrics.

    Within those enough images come before few, the train split before others, plain protocols
    before marked ones, many images before fewer.
    """
    metric = metric_of(key)
    place = TRUST.index(metric) if metric in TRUST else len(TRUST)
    inception = key.startswith(f"{KEY_PREFIXES.get(metric, ('',))[0]}_")
    usual = {"fid_50k": 0, "fid_10k": 1}.get(key, 2)
    before, fakes, after = _split(key)
    return (place, not inception, usual, "_small" in key, after, before.count("_"), -fakes, key)


def _split(key: str) -> tuple[str, int, str]:
    """Part before the number of fakes, that number, part after it."""
    match = COUNT.search(key)
    if match is None:
        return key, 0, ""
    fakes = int(match[1]) * (1000 if match[2] else 1)
    return key[: match.start()], fakes, key[match.end() :]


def aspects(key: str) -> Mapping[str, str]:
    """Aspects of the protocol that a key names; {} for an unknown metric."""
    prefix = _prefix(key)
    if not prefix or not COUNT.search(key):
        return {}
    before, fakes, after = _split(key)
    parts = [part for part in before[len(prefix) :].split("_") if part]
    marks = [part for part in parts if part in ("raw", *HALVES)]
    small = SMALL.search(after)
    return {
        "weights": "raw" if "raw" in marks else "averaged",
        "number of fakes": count(fakes),
        "real images": SMALL.sub("", after) or "train",
        "extractor": "_".join(part for part in parts if part not in marks) or "inception",
        "precision": next((mark for mark in marks if mark in HALVES), "float32"),
        "fewest images on a side": small[1] if small else "enough",
    }


def differences(key: str, other: str) -> list[str]:
    """Aspects in which two keys of a metric differ, such as `weights (averaged against raw)`."""
    one, two = aspects(key), aspects(other)
    return [
        f"{name} ({one[name]} against {two[name]})"
        for name in one
        if name in two and one[name] != two[name]
    ]


def nearest(key: str, others: Iterable[str]) -> tuple[str, Sequence[str]] | None:
    """The other key of the same metric that differs in fewest aspects, and in which; None if
    there is none."""
    metric = metric_of(key)
    pairs = [
        (other, differences(key, other))
        for other in sorted(others)
        if other != key and metric and metric_of(other) == metric
    ]
    return min((pair for pair in pairs if pair[1]), key=lambda pair: len(pair[1]), default=None)
