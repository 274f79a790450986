"""Measurement of a dataset for its data card: sources, licences, sizes, tags and colours.

The manifest is read once, entry by entry. A picture takes 32 bytes of memory (start of its sha256,
size, width, height) and some 20 for its labels, so that a million entries fit into some 60 MB; all
else are counters with a limit.
"""

import hashlib
import json
import re
from array import array
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from gan.params.data import AttributesParams
from pipeline.crawl.data_card.pictures import measure_colours
from pipeline.dataset.attributes import TaggedPictures, count_labels, find_pairs
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


def measure(dataset: Dataset, attributes: AttributesParams | None = None) -> dict[str, Any]:
    """The data card of a dataset as JSON-able values, a function of the arguments alone.

    Counts are of entries, those of `pictures`, `sizes` and `aspects` of distinct pictures. Labels
    are counted where `attributes` define some.
    """
    survey = _Survey(attributes)
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

    def __init__(self, attributes: AttributesParams | None) -> None:
        self._attributes = attributes
        self._tagged = TaggedPictures(attributes) if attributes else None
        self._statuses: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        names = ("reasons", "sites", "kept_sites", "origins", "licences", "ratings", "formats")
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
            self._of["reasons"].add(f"{entry.status} {generalise(entry.reason)}")

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
        if self._tagged:
            self._tagged.add(entry.tags)
        self._numbers.extend((int(entry.sha256[:16], 16), entry.bytes, entry.width, entry.height))

    def describe(self) -> dict[str, Any]:
        kept = self._statuses["ok"]
        table = np.array(self._numbers, dtype=np.uint64).reshape(-1, 4)
        _, first, copies = np.unique(table[:, 0], return_index=True, return_counts=True)
        size, width, height = table[first, 1:].T
        sides = {"width": width, "height": height, "short_side": np.minimum(width, height)}
        sites, kept_sites = self._of["sites"].top(TOP), self._of["kept_sites"].counts
        # [site, entries, pictures kept] and [status, reason, count] for [value, count]
        sites["top"] = [[*each, kept_sites[each[0]]] for each in sites["top"]]
        reasons = self._of["reasons"].top(TOP)
        reasons["top"] = [[*group.split(" ", 1), count] for group, count in reasons["top"]]
        return {
            "rows": self._statuses.total(),
            "statuses": dict(self._statuses),
            "reasons": reasons,
            "sites": sites,
            "on_the_web": self._on_the_web,
            "origins": self._of["origins"].top(TOP) | {"unsaid": kept - self._of["origins"].total},
            "licences": self._of["licences"].top(TOP) | {"unknown": self._unlicensed},
            "ratings": self._of["ratings"].top(TOP),
            "formats": self._of["formats"].top(TOP),
            "pictures": {
                "rows": kept,
                "distinct": len(size),
                "repeats": kept - len(size),
                "most_copies": int(copies.max()),
                "bytes": int(size.sum()),
                "bytes_a_picture": _extent(size),
            },
            "sizes": {
                name: _extent(values) | {"histogram": _histogram(values, SIDES)}
                for name, values in sides.items()
            },
            "aspects": _histogram(width / np.maximum(height, 1), ASPECTS),
            "tags": self._of["tags"].top(TOP_TAGS) | {"untagged": self._untagged},
            "attributes": self._describe_attributes(kept),
        }

    def _describe_attributes(self, kept: int) -> dict[str, Any] | None:
        if not self._tagged or not self._attributes:
            return None
        vocabulary, labels = self._tagged.vocabulary, self._tagged.label(np.arange(kept), kept)
        return {
            "definition": digest_definition(self._attributes),
            "counts": count_labels(vocabulary, labels),
            "together": find_pairs(vocabulary, labels),
        }


def digest_definition(attributes: AttributesParams) -> str:
    """Digest of the definition of attributes."""
    return hashlib.sha256(attributes.model_dump_json().encode()).hexdigest()


def _extent(values: NDArray[Any]) -> dict[str, int]:
    return {"min": int(values.min()), "median": int(np.median(values)), "max": int(values.max())}


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
        self.counts.update([encodable(value[:LONGEST]) for value in values])
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
            "top": [list(each) for each in top],
            "other": self.total - sum(times for _, times in top),
            "different": len(self.counts),
            "pruned": self.pruned,
        }


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
