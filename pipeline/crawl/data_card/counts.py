"""Counting what a manifest says in bounded memory: values, reasons of rejects, hosts."""

import re
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

LONGEST = 200
"""Characters of a value that count; what differs only after them is one value."""

NO_ADDRESS = "(no address)"

# The code after HTTP tells one reason from another; any other number only one picture.
_VARYING = re.compile(
    r"https?://\S+|'[^']*'|\"[^\"]*\"|(?<!HTTP )(?<![0-9])[0-9]+(?:[.,:][0-9]+)*"
)


class Tally:
    """Counts of values, at most `limit` different ones: above it the rarest half is forgotten.

    Forgotten ones stay in `total`, and count from nothing if they come again.
    """

    def __init__(self, limit: int) -> None:
        self.counts: Counter[str] = Counter()
        self.total = 0
        self.pruned = False
        self._limit = limit

    def add(self, *values: str) -> None:
        self.counts.update([value[:LONGEST] for value in values])
        self.total += len(values)
        if len(self.counts) > self._limit:
            self.counts = Counter(dict(self.ranked()[: self._limit // 2]))
            self.pruned = True

    def ranked(self) -> list[tuple[str, int]]:
        """Values with their counts, the most frequent first, equals by name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))

    def top(self, count: int) -> dict[str, Any]:
        """The `count` most frequent values, what all others come to, and how many differ."""
        shown = self.ranked()[:count]
        return {
            "top": [[encodable(value), times] for value, times in shown],
            "other": self.total - sum(times for _, times in shown),
            "different": len(self.counts),
            "pruned": self.pruned,
        }


class Reasons:
    """Counts of (status, reason), where reasons that differ only in numbers or names are one."""

    def __init__(self, limit: int) -> None:
        self._tally = Tally(limit)
        self._limit = limit
        self._shown: dict[str, str] = {}

    def add(self, status: str, reason: str) -> None:
        group = f"{status} {generalise(reason)}"
        self._tally.add(group)
        group = group[:LONGEST]
        if group not in self._shown and len(self._shown) >= self._limit:
            return
        # A group whose members all say the same is shown in these words, numbers included.
        if self._shown.setdefault(group, reason[:LONGEST]) != reason[:LONGEST]:
            self._shown[group] = group.partition(" ")[2]

    def top(self, count: int) -> dict[str, Any]:
        """As Tally.top, with [status, reason, count] for [value, count]."""
        summary = self._tally.top(count)
        summary["top"] = [self._describe(*each) for each in self._tally.ranked()[:count]]
        return summary

    def _describe(self, group: str, times: int) -> list[Any]:
        status, _, pattern = group.partition(" ")
        return [status, encodable(self._shown.get(group, pattern)), times]


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
    return url[:8].lower().startswith(("http://", "https://"))


def encodable(text: str) -> str:
    """`text` without lone surrogates, which JSON can bring and UTF-8 cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")
