"""Where sources deliver their rows: the journal, with the progress bar that watches it."""

from collections import Counter

from pipeline.crawl.pictures import Listed
from pipeline.progress import Advance
from pipeline.snapshot.journal import Journal
from pipeline.snapshot.manifest import Row, Status


class Sink:
    """Takes each image's row once; counts by status, those of an earlier run included."""

    def __init__(self, journal: Journal, advance: Advance) -> None:
        self.journal = journal
        self._advance = advance
        done = (entry.row for entry in journal.entries if entry.row.status != "failed")
        self.counts = Counter(row.status for row in done)
        self._show()

    def is_done(self, listed: Listed) -> bool:
        """True where an earlier run, or an earlier listing of the same URL, settled it."""
        return self.journal.is_done(listed.url)

    def add(self, listed: Listed, row: Row, data: bytes = b"") -> None:
        self.journal.add(listed.position, row, data if row.status == "ok" else b"")
        self.counts[row.status] += 1
        self._show()

    def reject(self, listed: Listed, status: Status, reason: str) -> None:
        self.add(listed, listed.row(status, reason))

    def _show(self) -> None:
        done = sum(self.counts.values())
        others = done - self.counts["ok"]
        self._advance(done, f"{others} without a picture" if others else "")
