"""Counts of a manifest's values in bounded memory: sites, tags, reasons of rejects."""

import re
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

LONGEST = 200
"""Characters of a value that count; values that differ only after them are one."""

NO_ADDRESS = "(no address)"

# The code after HTTP belongs to the reason; any other number belongs to one picture.
_VARYING = re.compile(
    r"https?://\S+|'[^']*'|\"[^\"]*\"|(?<!HTTP )(?<![0-9])[0-9]+(?:[.,:][0-9]+)*"
)


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
