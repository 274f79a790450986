"""Where sources deliver their rows: the journal, with whoever watches and the log beside it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.crawl.image_check import Listed, PictureLimits, judge
from pipeline.crawl.storage.journal import Journal
from pipeline.dataset.manifest import ManifestEntry, Status


@dataclass(frozen=True)
class Trace:
    """How an answer came about; goes to the log, never into the dataset.

    `url` is where redirects led, `address` who answered, `http` the status (0: no answer), and
    `seconds` the time from asking to the last byte.
    """

    url: str = ""
    address: str = ""
    http: int = 0
    seconds: float = 0.0


NO_TRACE = Trace()


def _ignore(*_: object) -> None:
    """Nobody watches, and there is no log."""


class Sink:
    """Takes each image's row once; counts by status, those of a killed crawl's rows included.

    `show(sink)` is called after each change; `log(row, trace)` with each new row.
    """

    def __init__(
        self,
        journal: Journal,
        limits: PictureLimits | None = None,
        show: Callable[["Sink"], None] = _ignore,
        log: Callable[[ManifestEntry, Trace], None] = _ignore,
    ) -> None:
        self.journal = journal
        self.limits = limits or PictureLimits()
        self.counts: Counter[Status] = Counter()
        self.reasons: Counter[tuple[Status, str]] = Counter()
        self.known = 0
        self.fetched = 0
        self._show = show
        self._log = log
        for entry in journal.entries():
            if entry.row.status != "failed":
                self._count(entry.row)
        self.taken_up = self.counts["ok"]  # without what brought no picture: that is in `counts`
        self._show(self)

    def is_done(self, listed: Listed) -> bool:
        """True where an older dataset, a killed crawl or this listing settled the address."""
        if self.journal.known.is_settled(listed.url):
            self.known += 1
            self._show(self)
            return True
        return self.journal.is_done(listed.url)

    def take(self, listed: Listed, data: bytes, trace: Trace = NO_TRACE) -> None:
        """Judge the bytes of an image and keep it if it is good."""
        self.add(listed, self.judge(listed, data), data, trace)

    def judge(self, listed: Listed, data: bytes) -> ManifestEntry:
        """The row of fetched bytes, by this crawl's limits; changes nothing: fit for a thread."""
        return judge(listed, data, self.limits)

    def add(
        self, listed: Listed, row: ManifestEntry, data: bytes = b"", trace: Trace = NO_TRACE
    ) -> None:
        self.journal.add(listed.position, row, data if row.status == "ok" else b"")
        self.fetched += row.status == "ok"
        self._count(row)
        self._log(row, trace)
        self._show(self)

    def reject(self, listed: Listed, status: Status, reason: str, trace: Trace = NO_TRACE) -> None:
        self.add(listed, listed.row(status, reason), b"", trace)

    def _count(self, row: ManifestEntry) -> None:
        self.counts[row.status] += 1
        if row.status != "ok":
            self.reasons[row.status, row.reason] += 1
