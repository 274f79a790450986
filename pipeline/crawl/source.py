"""What every source of pictures offers; each stands in a file of its own beside this one."""

from typing import Any, Protocol

from pipeline.crawl.sink import Sink


class Source(Protocol):
    """A place pictures come from."""

    @property
    def identity(self) -> dict[str, Any]:
        """What an unfinished crawl is known by; names no path, port or time."""

    @property
    def total(self) -> int:
        """How many images are expected, for the progress bar."""

    def fetch(self, sink: Sink) -> None:
        """Deliver one row for each image that isn't done; GanError where it can't go on."""

    def describe(self, count: int) -> dict[str, Any]:
        """The content of source.yaml for a finished snapshot of `count` rows."""
