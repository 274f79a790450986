"""Labels of pictures from their tags, and counts of labels.

Tags of many pictures are kept as numbers, a few bytes a picture.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.attributes import NO_YES, UNKNOWN, Attribute, Labels, Vocabulary, normalise_tag
from gan.params.data import AttributesParams

BLOCK = 1 << 16  # images at a time, so that memory does not grow with them
PAIRS = 20  # pairs of values that are reported, the farthest from chance
SEVERAL = 0  # stands for a picture of several characters; the values' numbers follow


def define_vocabulary(settings: AttributesParams) -> Vocabulary:
    """All attributes and values that the settings define."""
    exclusive = (
        Attribute(name, "exclusive", tuple(values)) for name, values in settings.exclusive.items()
    )
    independent = (Attribute(name, "independent", NO_YES) for name in settings.independent)
    return (*exclusive, *independent)


class TaggedPictures:
    """The tags of pictures, one after the other, as far as the settings know them."""

    def __init__(self, settings: AttributesParams) -> None:
        self.vocabulary = define_vocabulary(settings)
        self._least_tags = settings.least_tags
        several = [each.split() for each in settings.several]
        self._together = [frozenset(each) for each in several if len(each) > 1]
        groups = [[each[0] for each in several if len(each) == 1]]
        for values in (*settings.exclusive.values(), settings.independent):
            groups += ([name, *aliases] for name, aliases in values.items())
        self._numbers: dict[str, list[int]] = {}  # of the values that a tag names
        for number, tags in enumerate(groups, start=SEVERAL):
            for tag in {spelling for each in tags for spelling in _spell(each)}:
                self._numbers.setdefault(tag, []).append(number)
        self._known = frozenset(self._numbers)
        self._named, self._names, self._tags = array("H"), array("H"), array("H")

    def add(self, tags: Sequence[str]) -> None:
        """Add the next picture."""
        names = set(tags)
        named = {number for tag in names & self._known for number in self._numbers[tag]}
        if any(each <= names for each in self._together):
            named.add(SEVERAL)
        self._named.extend(named)
        self._names.append(len(named))
        self._tags.append(min(len(names), 2**16 - 1))

    def label(self, pictures: NDArray[np.int64], count: int) -> Labels:
        """Labels (count, A) of `count` pictures; `pictures` says which one each added one is.

        Equal ones are one picture with the tags of all. An exclusive attribute is unknown unless
        one value is named, an independent one if no tag says so and the tags are few, and all of
        them for several characters.
        """
        named = np.frombuffer(self._named, np.uint16)
        owners = np.repeat(pictures, np.frombuffer(self._names, np.uint16))
        tags = np.zeros(count, np.uint16)
        np.maximum.at(tags, pictures, np.frombuffer(self._tags, np.uint16))
        labels = np.full((count, len(self.vocabulary)), UNKNOWN, np.int8)

        def find(number: int) -> NDArray[np.bool_]:
            found = np.zeros(count, np.bool_)
            found[owners[named == number]] = True
            return found

        number = SEVERAL
        for column, attribute in enumerate(self.vocabulary):
            if attribute.kind == "independent":
                number += 1
                labels[tags >= self._least_tags, column] = NO_YES.index("no")
                labels[find(number), column] = NO_YES.index("yes")
                continue
            values = np.zeros(count, np.uint8)
            for code in range(len(attribute.values)):
                number += 1
                found = find(number)
                labels[found, column] = code
                values += found
            labels[values > 1, column] = UNKNOWN
        labels[find(SEVERAL)] = UNKNOWN
        return labels


def _spell(tag: str) -> set[str]:
    """Spellings of a tag on sites of all kinds; to compare the tags of pictures is much slower."""
    name = normalise_tag(tag)
    return {each for text in (name, name.replace("_", " ")) for each in (text, text.title())}


def count_labels(vocabulary: Vocabulary, labels: Labels) -> list[dict[str, Any]]:
    """Images of each value, and unknown ones, attribute by attribute."""
    found = []
    for column, attribute in enumerate(vocabulary):
        # unknown is -1, and so the first bin
        unknown, *counts = np.bincount(
            labels[:, column] - UNKNOWN, minlength=len(attribute.values) + 1
        ).tolist()
        values = dict(zip(attribute.values, counts, strict=True))
        about = {"name": attribute.name, "kind": attribute.kind}
        found.append(about | {"values": values, "unknown": unknown})
    return found


def find_pairs(vocabulary: Vocabulary, labels: Labels) -> list[list[Any]]:
    """Pairs of values of two attributes that go together more, or less, than by chance.

    Each as [value, value, images with both, images expected with both], among images of which both
    attributes are known; those first whose adjusted residual (Haberman 1973) is largest.
    """
    names, columns = [], []
    for column, attribute in enumerate(vocabulary):
        for code, value in enumerate(attribute.values):
            if value != NO_YES[0] or attribute.kind == "exclusive":
                names.append(value if attribute.kind == "exclusive" else attribute.name)
                columns.append((column, code))
    if len(vocabulary) < 2:
        return []
    of = np.array([column for column, _ in columns])
    codes = np.array([code for _, code in columns])
    both, alone = np.zeros((2, len(names), len(names)))  # alone: the first, the other one known
    known = np.zeros((len(vocabulary), len(vocabulary)))
    for start in range(0, len(labels), BLOCK):
        part = labels[start : start + BLOCK]
        has = (part[:, of] == codes).astype(np.float32)
        is_known = (part != UNKNOWN).astype(np.float32)
        both += has.T @ has
        alone += (has.T @ is_known)[:, of]
        known += is_known.T @ is_known
    total = np.maximum(known[of][:, of], 1)
    first, second = alone / total, alone.T / total
    expected = first * second * total
    deviation = np.sqrt(expected * (1 - first) * (1 - second))
    residual = np.divide(both - expected, deviation, out=np.zeros_like(both), where=deviation > 0)
    residual[of[:, None] >= of] = 0  # each pair once, none of one attribute
    order = np.argsort(-np.abs(residual), axis=None, kind="stable")[:PAIRS]
    return [
        [names[a], names[b], int(both[a, b]), round(float(expected[a, b]), 1)]
        for a, b in zip(*np.unravel_index(order, residual.shape), strict=True)
        if residual[a, b]
    ]


def describe_pairs(pairs: Sequence[Sequence[Any]]) -> Iterator[str]:
    """A line for each of `find_pairs`."""
    for first, second, both, expected in pairs:
        yield f"{first} with {second}: {both:,}, by chance {expected:,.0f}"
