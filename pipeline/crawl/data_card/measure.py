"""Measurement of a dataset for its data card: sources, licences, sizes, tags and colours.

The manifest is read once, entry by entry. A picture takes 32 bytes of memory (start of its sha256,
size, width, height), so that a million entries fit into some 40 MB; all else are counters with a
limit.
"""

import json
import re
from array import array
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pipeline.crawl.data_card.pictures import measure_colours
from pipeline.dataset.manifest import STATUSES, ManifestEntry
from pipeline.dataset.reader import Dataset

VALUES_LIMIT = 10_000
TAGS_LIMIT = 200_000
TOP = 20
TOP_TAGS = 30
SIDES = (32, 64, 96, 128, 256, 512, 1024)
ASPECTS = (1 / 2, 3 / 4, 19 / 20, 20 / 19, 4 / 3, 2)
"""Width to height, symmetric about the square."""

UNKNOWN = frozenset({"", "unknown", "none", "n/a", "?"})
"""Licence notes that name no licence."""

LONGEST = 200
"""Characters of a value that count; values that differ only after them are one."""

NO_ADDRESS = "(no address)"

# The code after HTTP belongs to the reason; any other number belongs to one picture.
_VARYING = re.compile(
    r"https?://\S+|'[^']*'|\"[^\"]*\"|(?<!HTTP )(?<![0-9])[0-9]+(?:[.,:][0-9]+)*"
)


def measure(dataset: Dataset) -> dict[str, Any]:
    """The data card of a dataset as JSON-able values, a function of the dataset alone.

    Counts are of entries, those of `pictures`, `sizes` and `aspects` of distinct pictures.
    """
    survey = _Survey()
    for entry in dataset.entries():
        survey.add(entry)
    return {
        "card": 1,
        "digest": dataset.digest,
        "source": json.loads(encodable(json.dumps(dataset.source, ensure_ascii=False))),
        **survey.describe(),
        "colours": measure_colours(dataset),
    }


class _Survey:
    """Counts over one reading of the manifest."""

    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        self._reasons = Reasons(VALUES_LIMIT)
        names = ("sites", "kept_sites", "origins", "licences", "ratings", "formats")
        self._of = {name: ValueCounts(VALUES_LIMIT) for name in names}
        self._of["tags"] = ValueCounts(TAGS_LIMIT)
        self._untagged = self._unlicensed = self._on_the_web = 0
        self._numbers = array("Q")

    def add(self, entry: ManifestEntry) -> None:
        self._statuses[entry.status] += 1
        site = site_of(entry.url)
        self._of["sites"].add(site)
        if entry.status == "ok":
            self._of["kept_sites"].add(site)
            self._add_picture(entry)
        else:
            self._reasons.add(entry.status, entry.reason)

    def _add_picture(self, entry: ManifestEntry) -> None:
        self._on_the_web += is_web(entry.url)
        self._unlicensed += entry.licence.strip().lower() in UNKNOWN
        self._untagged += not entry.tags
        self._of["licences"].add(entry.licence.strip())
        self._of["ratings"].add(entry.rating)
        self._of["formats"].add(entry.format)
        if entry.source:
            self._of["origins"].add(site_of(entry.source))
        self._of["tags"].add(*dict.fromkeys(entry.tags))
        self._numbers.extend((int(entry.sha256[:16], 16), entry.bytes, entry.width, entry.height))

    def describe(self) -> dict[str, Any]:
        kept = self._statuses["ok"]
        pictures, copies = _distinct(self._numbers)
        return {
            "rows": self._statuses.total(),
            "statuses": dict(self._statuses),
            "reasons": self._reasons.top(TOP),
            "sites": self._describe_sites(),
            "on_the_web": self._on_the_web,
            "origins": self._of["origins"].top(TOP) | {"unsaid": kept - self._of["origins"].total},
            "licences": self._of["licences"].top(TOP) | {"unknown": self._unlicensed},
            "ratings": self._of["ratings"].top(TOP),
            "formats": self._of["formats"].top(TOP),
            "pictures": _describe_files(kept, pictures[:, 1], copies),
            "sizes": _describe_sizes(pictures[:, 2], pictures[:, 3]),
            "aspects": _histogram(pictures[:, 2] / np.maximum(pictures[:, 3], 1), ASPECTS),
            "tags": self._of["tags"].top(TOP_TAGS) | {"untagged": self._untagged},
        }

    def _describe_sites(self) -> dict[str, Any]:
        """As ValueCounts.top, with [site, entries, pictures kept] for [value, count]."""
        summary = self._of["sites"].top(TOP)
        kept = self._of["kept_sites"].counts
        rank = self._of["sites"].rank()[:TOP]
        summary["top"] = [[encodable(site), entries, kept[site]] for site, entries in rank]
        return summary


def _distinct(numbers: "array[int]") -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Bytes, width and height of each distinct picture, and how many entries share it."""
    table = np.array(numbers, dtype=np.uint64).reshape(-1, 4)
    _, first, copies = np.unique(table[:, 0], return_index=True, return_counts=True)
    return table[first], copies


def _describe_files(
    entries: int, sizes: NDArray[np.uint64], copies: NDArray[np.int64]
) -> dict[str, Any]:
    return {
        "rows": entries,
        "distinct": len(sizes),
        "repeats": entries - len(sizes),
        "most_copies": int(copies.max()),
        "bytes": int(sizes.sum()),
        "bytes_a_picture": _extent(sizes),
    }


def _describe_sizes(width: NDArray[np.uint64], height: NDArray[np.uint64]) -> dict[str, Any]:
    sides = {"width": width, "height": height, "short_side": np.minimum(width, height)}
    return {
        name: _extent(values) | {"histogram": _histogram(values, SIDES)}
        for name, values in sides.items()
    }


def _extent(values: NDArray[Any]) -> dict[str, int]:
    return {
        "min": int(values.min()),
        "median": int(np.median(values)),
        "max": int(values.max()),
    }


def _histogram(values: NDArray[Any], edges: tuple[float, ...]) -> list[int]:
    """How many values lie below the first edge, from one edge on to the next, and so on."""
    bins = np.searchsorted(np.asarray(edges), values, side="right")
    return [int(count) for count in np.bincount(bins, minlength=len(edges) + 1)]


class ValueCounts:
    """Counts of values, at most `limit` different ones: above it the rarest half is dropped.

    Dropped ones stay in `total`, and count from 0 if they come again.
    """

    def __init__(self, limit: int) -> None:
        self.counts: Counter[str] = Counter()
        self.total = 0
        self.pruned = False
        self._limit = limit

    def add(self, *values: str) -> None:
        """Count each value once."""
        self.counts.update([value[:LONGEST] for value in values])
        self.total += len(values)
        if len(self.counts) > self._limit:
            self.counts = Counter(dict(self.rank()[: self._limit // 2]))
            self.pruned = True

    def rank(self) -> list[tuple[str, int]]:
        """Values with their counts, the most frequent first, equals by name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))

    def top(self, count: int) -> dict[str, Any]:
        """The `count` most frequent values, the sum of all others, and how many different ones."""
        top = self.rank()[:count]
        return {
            "top": [[encodable(value), times] for value, times in top],
            "other": self.total - sum(times for _, times in top),
            "different": len(self.counts),
            "pruned": self.pruned,
        }


class Reasons:
    """Counts of (status, reason), where reasons that differ only in numbers or names are one."""

    def __init__(self, limit: int) -> None:
        self._groups = ValueCounts(limit)
        self._limit = limit
        self._wording: dict[str, str] = {}

    def add(self, status: str, reason: str) -> None:
        """Count one reject."""
        group = f"{status} {generalise(reason)}"
        self._groups.add(group)
        group = group[:LONGEST]
        if group not in self._wording and len(self._wording) >= self._limit:
            return
        # A group whose reasons are all the same keeps their wording, numbers included.
        if self._wording.setdefault(group, reason[:LONGEST]) != reason[:LONGEST]:
            self._wording[group] = group.partition(" ")[2]

    def top(self, count: int) -> dict[str, Any]:
        """As ValueCounts.top, with [status, reason, count] for [value, count]."""
        summary = self._groups.top(count)
        summary["top"] = [self._describe(*each) for each in self._groups.rank()[:count]]
        return summary

    def _describe(self, group: str, times: int) -> list[Any]:
        status, _, pattern = group.partition(" ")
        return [status, encodable(self._wording.get(group, pattern)), times]


def generalise(reason: str) -> str:
    """A reason with N for its numbers and … for quoted names and addresses."""
    return _VARYING.sub(lambda found: "N" if found[0][0].isdigit() else "…", reason[:LONGEST])


def site_of(url: str) -> str:
    """The host of a web address, without its port; of any other address its scheme."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return NO_ADDRESS
    if is_web(url):
        return host or NO_ADDRESS
    return f"{parts.scheme}:" if parts.scheme else NO_ADDRESS


def is_web(url: str) -> bool:
    """True for an http or https address."""
    return url[:8].lower().startswith(("http://", "https://"))


def encodable(text: str) -> str:
    """`text` without lone surrogates, which JSON can have and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
