"""Keys of metrics, read: number and direction, order of trust, in what two keys differ."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from gan.metrics.build import load_numbers, number_of
from gan.metrics.metric import Better, Number

MARKS = ("raw", "bf16", "fp16")
ASPECTS = {
    "weights": "weights",
    "fakes": "number of fakes",
    "against": "real images",
    "extractor": "extractor",
    "precision": "precision",
    "small": "fewest images on a side",
}
"""Words for the parts of a key that decide whether two are comparable."""


@dataclass(frozen=True)
class Key:
    """Parts of a key that `gan.metrics.metric.metric_key` composed.

    small: fewest images on a side, None if there are enough.
    """

    number: Number
    extractor: str = ""
    weights: str = "averaged"
    precision: str = "float32"
    fakes: int = 0
    against: str = "train"
    small: int | None = None

    @property
    def can_rank(self) -> bool:
        """Whether runs are ranked by it."""
        return self.number.rank is not None

    @property
    def trust(self) -> tuple[float | str, ...]:
        """Sort key: the most trusted number first, Inception before other extractors.

        Within those enough images come before few, the train split before others, plain protocols
        before marked ones, many images before fewer.
        """
        return (
            self.number.rank if self.number.rank is not None else 1000,
            self.extractor != "inception",
            self.small is not None,
            "" if self.against == "train" else self.against,
            (self.weights == "raw") + (self.precision != "float32"),
            -self.fakes,
        )


@cache
def _pattern() -> re.Pattern[str]:
    prefixes = {prefix for each in load_numbers().values() for prefix in each.prefixes}
    longest_first = "|".join(sorted(prefixes, key=len, reverse=True))
    against = r"(?:_(?P<against>.+?))??(?:_small(?P<small>\d+))?"
    return re.compile(rf"({longest_first})(?:_(?P<middle>.+?))?_(?P<fakes>\d+)(k?){against}")


@cache
def read_key(text: str) -> Key:
    """Take a key apart; the name of anything else, such as a loss, has a number of no meaning."""
    match = _pattern().fullmatch(text)
    if match is None:
        return Key(number_of(text))
    prefix, _, fakes, thousands, against, small = match.groups()
    number = next(each for each in load_numbers().values() if prefix in each.prefixes)
    parts = (match["middle"] or "").split("_")
    return Key(
        number,
        extractor="_".join(part for part in parts if part not in MARKS) or "inception",
        weights="raw" if "raw" in parts else "averaged",
        precision=next((part for part in parts if part in MARKS[1:]), "float32"),
        fakes=int(fakes) * (1000 if thousands else 1),
        against=against or "train",
        small=int(small) if small else None,
    )


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
        different = [
            f"{words} ({_show(own, name)} against {_show(read, name)})"
            for name, words in ASPECTS.items()
            if getattr(own, name) != getattr(read, name)
        ]
        if read.number == own.number and different:
            found.append((len(different), f"{other} instead: other {' and '.join(different)}"))
    return min(found, default=(0, None))[1]


def _show(key: Key, name: str) -> str:
    value = getattr(key, name)
    return f"{value:,}" if name == "fakes" else str("enough" if value is None else value)
