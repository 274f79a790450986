"""Keys of metrics, read: number and direction, order of trust, in what two keys differ."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from gan.metrics.build import load_numbers, number_of
from gan.metrics.metric import Better, Number

MARKS = ("raw", "bf16", "fp16")
DIGEST = re.compile(r"(?<=\b[0-9a-f]{12})[0-9a-f]{52}\b")  # after its first digits


@dataclass(frozen=True)
class Key:
    """A key that `gan.metrics.metric.metric_key` composed, taken apart.

    aspects: what decides whether two keys of a number are comparable, in words. trust: sort key,
    the most trusted number first, Inception before other extractors; within those enough images
    come before few, the train split before others, plain protocols before marked ones, many
    images before fewer.
    """

    number: Number
    aspects: Mapping[str, str] = field(default_factory=dict)
    trust: tuple[float | str, ...] = ()

    @property
    def can_rank(self) -> bool:
        """Whether runs are ranked by it."""
        return self.number.rank is not None


@cache
def _pattern() -> re.Pattern[str]:
    prefixes = {prefix for each in load_numbers().values() for prefix in each.prefixes}
    longest_first = "|".join(sorted(prefixes, key=len, reverse=True))
    against = r"(?:_(?P<against>.+?))??(?:_small(?P<small>\d+))?"
    return re.compile(rf"({longest_first})(?:_(.+?))?_(\d+)(k?){against}")


@cache
def read_key(text: str) -> Key:
    """Take a key apart; the name of anything else, such as a loss, has a number of no meaning."""
    match = _pattern().fullmatch(text)
    if match is None:
        return Key(number_of(text), trust=(1001,))
    prefix, middle, digits, thousands, against, small = match.groups()
    number = next(each for each in load_numbers().values() if prefix in each.prefixes)
    parts, fakes = (middle or "").split("_"), int(digits) * (1000 if thousands else 1)
    named = "_".join(part for part in parts if part not in MARKS)
    extractor = named or number.extractor or "inception"
    marks = [part for part in parts if part in MARKS]
    aspects = {
        "weights": "raw" if "raw" in marks else "averaged",
        "number of fakes": f"{fakes:,}",
        "real images": against or "train",
        "extractor": extractor,
        "precision": next((mark for mark in marks if mark != "raw"), "float32"),
        "fewest images on a side": small or "enough",
    }
    rank = 1000 if number.rank is None else number.rank
    few = small is not None
    trust = (rank, extractor != "inception", few, against or "", len(marks), -fakes)
    return Key(number, aspects, trust)


def direction_of(key: str) -> Better:
    """Direction in which a metric is better."""
    return read_key(key).number.better


def sort_by_trust(keys: Iterable[str]) -> list[str]:
    """Sort keys, the most trusted first; those that can't rank come last."""
    return sorted(keys, key=lambda key: (*read_key(key).trust, key))


def first_keys(keys: Sequence[str]) -> list[str]:
    """Return the first key of each chief number, in the order of the registry."""
    firsts = {read_key(key).number.name: key for key in reversed(keys)}
    return [firsts[name] for name, each in load_numbers().items() if each.chief and name in firsts]


def describe_nearest(key: str, others: Iterable[str]) -> str | None:
    """Name the other key of the same number that differs in fewest aspects, and in which."""
    own, found = read_key(key), []
    for other in sorted(others):
        read = read_key(other)
        different = list_differences([own.aspects, read.aspects])
        if read.number == own.number and different:
            found.append((len(different), f"{other} instead: other {' and '.join(different)}"))
    return min(found, default=(0, None))[1]


def list_differences(sides: Sequence[Mapping[str, str]]) -> list[str]:
    """List what differs among facts that all sides have, as `weights (averaged against raw)`."""
    shared = [name for name in sides[0] if all(name in each for each in sides)]
    values = {name: dict.fromkeys(each[name] for each in sides) for name in shared}
    different = {name: " against ".join(each) for name, each in values.items() if len(each) > 1}
    return [f"{name} ({DIGEST.sub('', each)})" for name, each in different.items()]
