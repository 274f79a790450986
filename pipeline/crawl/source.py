"""What every source of pictures offers; each stands in a file of its own beside this one."""

from typing import Any, Protocol

from pipeline.crawl.sink import Sink
from pipeline.snapshot.reader import Snapshot


class Source(Protocol):
    """A place pictures come from."""

    @property
    def identity(self) -> dict[str, Any]:
        """What an unfinished crawl is known by; names no path, port, time or credential."""

    @property
    def total(self) -> int | None:
        """How many images are expected, for the progress bar; None where nobody can know."""

    def continues(self, snapshot: Snapshot) -> bool:
        """True where `snapshot` is an earlier crawl of this very source, to be added to."""

    def fetch(self, sink: Sink) -> None:
        """Deliver one row for each image that isn't done; GanError where it can't go on."""

    def describe(self, counts: dict[str, int]) -> dict[str, Any]:
        """The content of source.yaml for a snapshot with these counts of rows by status."""
