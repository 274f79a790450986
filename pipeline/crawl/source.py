"""The interface of a source of pictures; each source is a module or package beside this one."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from pipeline.crawl.sink import Sink
from pipeline.dataset.reader import Dataset

GROWING_KEYS = frozenset({"limit", "sha256"})
"""Keys of an identity that may differ between crawls of one source: its size, its content."""


class Source(Protocol):
    """A place that pictures come from."""

    @property
    def identity(self) -> dict[str, Any]:
        """The options that tell this source from others, without path, port, time or credential.

        An unfinished crawl is resumed by the source with the same identity.
        """

    @property
    def total(self) -> int | None:
        """The number of images expected, for the progress bar; None where it is unknown."""

    def continues(self, dataset: Dataset) -> bool:
        """True where `dataset` is an earlier crawl of this very source, to be added to."""

    def fetch(self, sink: Sink) -> None:
        """Deliver one entry for each image that isn't done; GanError where it breaks off."""

    def describe(self, counts: dict[str, int]) -> dict[str, Any]:
        """The content of source.yaml for a dataset with these counts of entries by status."""


class GrowingSource(ABC):
    """A source outside of this repository: a later crawl adds to the dataset."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]: ...

    def continues(self, dataset: Dataset) -> bool:
        """True for a crawl with the same options; one of a list that grew since counts too."""
        return not differing_options(self.identity, dataset.source)

    def describe(self, counts: dict[str, int]) -> dict[str, Any]:
        """The identity and the counts."""
        return {**self.identity, "counts": counts}


def differing_options(identity: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """Names of the options by which `identity` is another source than a source.yaml describes."""
    return [
        name
        for name, value in identity.items()
        if name not in GROWING_KEYS and description.get(name) != value
    ]
