"""The sink of a crawl: checks images, writes entries to the journal, counts, reports, logs."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.crawl.image_check import ListedImage, PictureLimits, check_image
from pipeline.crawl.storage.journal import Journal
from pipeline.dataset.manifest import ManifestEntry, Status


@dataclass(frozen=True)
class FetchTrace:
    """How an answer came about; goes into the log, never into the dataset.

    `url` is where redirects led, `address` the IP address that answered, `http` the status (0: no
    answer), and `seconds` the time from the request to the last byte.
    """

    url: str = ""
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
                "final_url": trace.url if trace.url != entry.url else "",
                "address": trace.address,
                "http": trace.http,
                "seconds": trace.seconds,
            }
            stream.write(json.dumps(line, separators=(",", ":")) + "\n")

        yield log


class Sink:
    """Takes each image's entry once; counts by status, entries of a resumed crawl included.

    `on_change(sink)` is called after each change, `log(entry, trace)` with each new entry.
    `settled` counts listed images that an earlier crawl settled, `resumed` the pictures of a
    killed one, `fetched` those of this one.
    """

    def __init__(
        self,
        journal: Journal,
        limits: PictureLimits | None = None,
        on_change: Callable[["Sink"], None] = lambda _: None,
        log: Callable[[ManifestEntry, FetchTrace], None] = lambda *_: None,
    ) -> None:
        self.journal = journal
        self.limits = limits or PictureLimits()
        self.counts: Counter[Status] = Counter()
        self.reasons: Counter[tuple[Status, str]] = Counter()
        self.settled = self.fetched = 0
        self._on_change, self._log = on_change, log
        for record in journal.records():
            if record.entry.status != "failed":
                self._count(record.entry)
        self.resumed = self.counts["ok"]  # rejects of the killed crawl are in `counts`
        self._on_change(self)

    def is_done(self, listed: ListedImage) -> bool:
        """True where an earlier crawl, a killed one or this one settled the address."""
        if self.journal.earlier.is_settled(listed.url):
            self.settled += 1
            self._on_change(self)
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
        self._on_change(self)

    def reject(
        self, listed: ListedImage, status: Status, reason: str, trace: FetchTrace = NO_TRACE
    ) -> None:
        """Keep the reason why there is no image."""
        self.add(listed, listed.entry(status, reason), b"", trace)

    def _count(self, entry: ManifestEntry) -> None:
        self.counts[entry.status] += 1
        if entry.status != "ok":
            self.reasons[entry.status, entry.reason] += 1
