"""Progress of a crawl on stderr: images a second, counts by outcome, reasons of rejects."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.console import progress
from pipeline.crawl.sink import Sink

REASONS_SHOWN = 6
DETAIL = re.compile(r"\s*\(.*?\)")
"""The part of a reason that differs between pictures, such as (12 bytes not processed)."""


@contextmanager
def show_progress(total: int | None) -> Iterator[Callable[[Sink], None]]:
    """Show the progress of a crawl of about `total` images (None: unknown) on stderr."""
    with progress("scrape", total) as advance:
        note: _Note | None = None

        def show(sink: Sink) -> None:
            nonlocal note
            note = note or _Note(sink)  # before the first image: the rate counts from here
            advance(count_done(sink), note)

        yield show


class _Note:
    """Rate and counts, put into words only when they are shown."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._begun, self._first = sink, time.monotonic(), count_done(sink)

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self._begun, 0.1)
        rate = (count_done(self._sink) - self._first) / seconds
        return f"{rate:.1f}/s; {describe(self._sink)}"


def count_done(sink: Sink) -> int:
    """Images with an entry: of an earlier crawl, of a resumed one, and new ones."""
    return sink.settled + sum(sink.counts.values())


def describe(sink: Sink) -> str:
    """Counts of images fetched and skipped, and of rejects by reason, most frequent first."""
    skipped = sink.settled + sink.resumed
    parts = [
        f"fetched {sink.fetched}",
        f"skipped {skipped}" if skipped else "",
        describe_rejects(sink),
    ]
    return ", ".join(filter(None, parts))


def describe_rejects(sink: Sink) -> str:
    """Counts of rejects, such as `gone 2 (HTTP 404), failed 3 (2x timed out, 1x …)`."""
    reasons: dict[str, Counter[str]] = {}
    for (status, why), count in sink.reasons.items():
        reasons.setdefault(status, Counter())[DETAIL.sub("", why)] += count
    ranked = sorted(reasons.items(), key=lambda item: -item[1].total())
    return ", ".join(f"{status} {of.total()} ({_list_reasons(of)})" for status, of in ranked)


def _list_reasons(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{count}x {why}" for why, count in counts.most_common(REASONS_SHOWN)]
    return ", ".join(shown) + (", …" if len(counts) > REASONS_SHOWN else "")
