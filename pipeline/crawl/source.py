"""The interface of a source of pictures; each source is a module or package beside this one."""

from abc import ABC, abstractmethod
from typing import Any

from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import is_final
from pipeline.dataset.manifest import ManifestEntry
from pipeline.dataset.reader import Dataset

GROWING_KEYS = frozenset({"limit", "sha256"})
"""Keys of an identity that may differ between crawls of one source: its size, its content."""


class Source(ABC):
    """A place that pictures come from; a later crawl of it adds to the dataset."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """The options that tell this source from others, without path, port, time or credential.

        An unfinished crawl is resumed by the source with the same identity.
        """

    @property
    @abstractmethod
    def total(self) -> int | None:
        """The number of images expected, for the progress bar; None where it is unknown."""

    @abstractmethod
    def fetch(self, sink: Sink) -> None:
        """Deliver one entry for each image that isn't done; GanError where it breaks off."""

    def continues(self, dataset: Dataset) -> bool:
        """True for an earlier crawl with the same options; one of a list that grew counts too."""
        return not differing_options(self.identity, dataset.source)

    def is_settled(self, entry: ManifestEntry) -> bool:
        """True for an entry of an earlier crawl that is not asked for again."""
        return is_final(entry)

    def describe(self, counts: dict[str, int]) -> dict[str, Any]:
        """The content of source.yaml for a dataset with these counts of entries by status."""
        return {**self.identity, "counts": counts}


def differing_options(identity: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """Names of the options by which `identity` is another source than a source.yaml describes."""
    return [
        name
        for name, value in identity.items()
        if name not in GROWING_KEYS and description.get(name) != value
    ]
