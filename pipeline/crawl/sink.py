"""The sink of a crawl: checks images, writes entries to the journal, counts, logs, tells."""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.console import Advance
from pipeline.crawl.image_check import ListedImage, PictureLimits, check_image
from pipeline.crawl.storage.earlier_crawl import is_final
from pipeline.crawl.storage.journal import Journal
from pipeline.dataset.manifest import ManifestEntry, Status

REASONS_SHOWN = 6
DETAIL = re.compile(r"\s*\(.*?\)")
"""The part of a reason that differs between pictures, such as (12 bytes not processed)."""


@dataclass(frozen=True)
class FetchTrace:
    """How an answer came about; goes into the log, never into the dataset.

    `final_url` is where redirects led, if anywhere, `address` the IP address that answered, `http`
    the status (0: no answer), and `seconds` the time from the request to the last byte.
    """

    final_url: str = ""
    address: str = ""
    http: int = 0
    seconds: float = 0.0


NO_TRACE = FetchTrace()


@contextmanager
def log_entries(path: Path) -> Iterator[Callable[[ManifestEntry, FetchTrace], None]]:
    """Yields a function that appends a JSON line for an entry: time (UTC), address, outcome."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", buffering=1) as stream:

        def log(entry: ManifestEntry, trace: FetchTrace) -> None:
            line = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "url": entry.url,
                "status": entry.status,
                "reason": entry.reason,
                "sha256": entry.sha256,
                **asdict(trace),
            }
            stream.write(json.dumps(line, separators=(",", ":")) + "\n")

        yield log


class Sink:
    """Takes each image's entry once; counts by status, entries of a resumed crawl included.

    `advance(done, sink)` is called after each change: the sink as text is its rate and counts.
    `log(entry, trace)` is called with each new entry. `settled` counts listed images that an
    earlier crawl settled, `resumed` the pictures of a killed one, `fetched` those of this one.
    """

    def __init__(
        self,
        journal: Journal,
        limits: PictureLimits | None = None,
        advance: Advance = lambda *_: None,
        log: Callable[[ManifestEntry, FetchTrace], None] = lambda *_: None,
    ) -> None:
        self.journal = journal
        self.limits = limits or PictureLimits()
        self.counts: Counter[Status] = Counter()
        self.settled = self.fetched = 0
        self._reasons: defaultdict[Status, Counter[str]] = defaultdict(Counter)
        self._advance, self._log = advance, log
        for record in journal.records():
            # After a kill between the end of a crawl and the removal of its journal both have it.
            if is_final(record.entry) and not journal.earlier.is_settled(record.entry.url):
                self._count(record.entry)
        self.resumed = self.counts["ok"]  # rejects of the killed crawl are in `counts`
        self._begun, self._first = time.monotonic(), self.done
        self._advance(self.done, self)

    @property
    def done(self) -> int:
        """Images with an entry: of an earlier crawl, of a resumed one, and new ones."""
        return self.settled + self.counts.total()

    def __str__(self) -> str:
        """Images a second, counts of images fetched and skipped, and of rejects."""
        rate = (self.done - self._first) / max(time.monotonic() - self._begun, 0.1)
        skipped = self.settled + self.resumed
        counts = [f"fetched {self.fetched}", f"skipped {skipped}" if skipped else ""]
        return f"{rate:.1f}/s; {', '.join(filter(None, [*counts, self.describe_rejects()]))}"

    def describe_rejects(self) -> str:
        """Counts of rejects, such as `gone 2 (HTTP 404), failed 3 (2x timed out, 1x …)`."""
        ranked = sorted(self._reasons.items(), key=lambda item: -item[1].total())
        return ", ".join(f"{status} {of.total()} ({_list_reasons(of)})" for status, of in ranked)

    def is_done(self, listed: ListedImage) -> bool:
        """True where an earlier crawl, a killed one or this one settled the address."""
        if self.journal.earlier.is_settled(listed.url):
            self.settled += 1
            self._advance(self.done, self)
            return True
        return self.journal.is_done(listed.url)

    def check(self, listed: ListedImage, data: bytes) -> ManifestEntry:
        """The entry of fetched bytes, by this crawl's limits; safe to call in a thread."""
        return check_image(listed, data, self.limits)

    def add(
        self,
        listed: ListedImage,
        entry: ManifestEntry,
        data: bytes = b"",
        trace: FetchTrace = NO_TRACE,
    ) -> None:
        """Keep an entry that was checked, with the bytes of a good image."""
        self.journal.add(listed.position, entry, data if entry.status == "ok" else b"")
        self.fetched += entry.status == "ok"
        self._count(entry)
        self._log(entry, trace)
        self._advance(self.done, self)

    def reject(self, listed: ListedImage, status: Status, reason: str) -> None:
        """Keep the reason why there is no image."""
        self.add(listed, listed.entry(status, reason))

    def _count(self, entry: ManifestEntry) -> None:
        self.counts[entry.status] += 1
        if entry.status != "ok":
            self._reasons[entry.status][DETAIL.sub("", entry.reason)] += 1


def _list_reasons(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{count}x {why}" for why, count in counts.most_common(REASONS_SHOWN)]
    return ", ".join(shown) + (", …" if len(counts) > REASONS_SHOWN else "")
