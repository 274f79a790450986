"""Attributes of images: a vocabulary of named values, and the codes that stand for them.

An *exclusive* attribute, such as hair colour, has one of its values; an *independent* one, such as
glasses, is there or not: its values are `no` and `yes`. The code of a value is its place among
these, and UNKNOWN where an image's tags don't say.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError

Labels = NDArray[np.int8]
"""(N, A): codes of N images, a column for each attribute of a vocabulary."""

UNKNOWN = -1
MOST_VALUES = 127  # of an attribute, so that a code fits into a byte
NO_YES = ("no", "yes")


@dataclass(frozen=True)
class Attribute:
    """An attribute and its values, in the order of their codes."""

    name: str
    kind: Literal["exclusive", "independent"]
    values: tuple[str, ...]


Vocabulary = tuple[Attribute, ...]


def normalise_tag(tag: str) -> str:
    """A tag as boorus write it: lower case, with underscores."""
    return tag.strip().lower().replace(" ", "_")


def to_json(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The vocabulary as values of JSON."""
    return [asdict(each) | {"values": list(each.values)} for each in vocabulary]


def from_json(values: Any) -> Vocabulary:
    """The vocabulary that `to_json` gave; GanError where it is none."""
    try:
        found = tuple(Attribute(**each | {"values": tuple(each["values"])}) for each in values)
    except (TypeError, KeyError, AttributeError):
        raise GanError("the vocabulary of attributes cannot be read") from None
    if any(each.kind == "independent" and each.values != NO_YES for each in found):
        raise GanError("the vocabulary of attributes has other values than no and yes")
    return found


def labels_digest(labels: Labels, vocabulary: Sequence[Attribute]) -> str:
    """Digest (64 hex digits) of labels and what they mean."""
    digest = hashlib.sha256(np.ascontiguousarray(labels).data)
    digest.update(json.dumps(to_json(tuple(vocabulary)), sort_keys=True).encode())
    return digest.hexdigest()
