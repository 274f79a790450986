"""What every source of pictures offers; each stands in a file of its own beside this one."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from pipeline.crawl.sink import Sink
from pipeline.dataset.reader import Dataset

GROWING = frozenset({"limit", "sha256"})
"""What of an identity may differ between crawls of one source: how many, and a file's content."""


class Source(Protocol):
    """A place pictures come from."""

    @property
    def identity(self) -> dict[str, Any]:
        """What an unfinished crawl is known by; names no path, port, time or credential."""

    @property
    def total(self) -> int | None:
        """How many images are expected, for the progress bar; None where nobody can know."""

    def continues(self, dataset: Dataset) -> bool:
        """True where `dataset` is an earlier crawl of this very source, to be added to."""

    def fetch(self, sink: Sink) -> None:
        """Deliver one row for each image that isn't done; GanError where it can't go on."""

    def describe(self, counts: dict[str, int]) -> dict[str, Any]:
        """The content of source.yaml for a dataset with these counts of rows by status."""


class GrowingSource(ABC):
    """A source outside of this repository: what a later crawl finds is added to the dataset."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]: ...

    def continues(self, dataset: Dataset) -> bool:
        """True for a crawl with the same options; an older one of a list that grew counts too."""
        return not differing_options(self.identity, dataset.source)

    def describe(self, counts: dict[str, int]) -> dict[str, Any]:
        """What identifies the source, and the counts."""
        return {**self.identity, "counts": counts}


def differing_options(identity: dict[str, Any], described: dict[str, Any]) -> list[str]:
    """Names of what makes `identity` another source than the one that a source.yaml describes."""
    return [
        name
        for name, value in identity.items()
        if name not in GROWING and described.get(name) != value
    ]
