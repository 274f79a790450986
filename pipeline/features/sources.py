"""Where images to look at come from, and files that hold statistics in their place."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from torch import Tensor

from gan.errors import GanError
from gan.features.extraction import FeatureSet, image_batches
from gan.features.extractor import Extractor
from gan.features.statistics import Statistics
from gan.features.statistics_file import Labels, load_statistics
from gan.tensor_cache import Images, Split, TensorCache
from pipeline.features.naming import tag_of


class ImageSource(Protocol):
    """Two images or more, all of one size, in a fixed order."""

    @property
    def what(self) -> str:
        """For a reader: `train split of the cache`."""

    @property
    def tag(self) -> str:
        """What keys of metrics call it: `train`, `holdout`, `vs_<folder>_<8 hex digits>`."""

    @property
    def digest(self) -> str:
        """Hex sha256 of the content: equal digests, equal images in equal order."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""

    def __len__(self) -> int:
        """How many images there are."""

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all images in order, as (n, 3, H, W) uint8, n = size but for the last."""

    def rows(self, indices: Sequence[int]) -> Images:
        """The images (n, H, W, 3) uint8 at these places."""


class CacheSplit:
    """One split of the tensor cache."""

    def __init__(self, cache: TensorCache, split: Split) -> None:
        """Raises GanError if the split has fewer than two images."""
        self._images = cache.split(split)
        self._cache = cache
        self.tag: str = split
        if len(self) < 2:
            number = f"{len(self)} image{'s' if len(self) != 1 else ''}"
            raise GanError(
                f"{cache.folder}: the {split} split has {number}, statistics need 2; scrape more "
                "images or change preprocess.holdout"
            )

    def __len__(self) -> int:
        return len(self._images)

    @property
    def what(self) -> str:
        return f"{self.tag} split of the cache"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self._cache.digest} {self.tag}".encode()).hexdigest()

    @property
    def size(self) -> tuple[int, int]:
        return self._cache.size, self._cache.size

    def batches(self, size: int) -> Iterator[Tensor]:
        """As of every source; GanError if the pixels are not those of the cache's digest.

        Features are kept by that digest: those of damaged pixels would stay.
        """
        self._cache.verify()
        return image_batches(self._images, size)

    def rows(self, indices: Sequence[int]) -> Images:
        return np.array(self._images[np.asarray(indices, dtype=np.int64)])


@dataclass(frozen=True)
class StatisticsFile:
    """Statistics of images that are not here, as pytorch-fid or this project wrote them."""

    name: str
    digest: str
    statistics: Statistics
    labels: Labels

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read an .npz file; GanError, one line, if it holds no statistics."""
        statistics, labels = load_statistics(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, digest, statistics, labels)

    @property
    def what(self) -> str:
        """For a reader; no path, which would be of one machine."""
        count = self.statistics.count
        return f"statistics file {self.name}" + ("" if count is None else f", {count} images")

    @cached_property
    def tag(self) -> str:
        """What keys of metrics call it."""
        return tag_of(self.name.removesuffix(".npz"), self.digest)

    def seen_by(self, extractor: Extractor) -> FeatureSet:
        """What the extractor saw of those images; GanError if another one made the file.

        A file of pytorch-fid doesn't say what made it: then the number of features must do.
        """
        dimensions = self.statistics.mean.size
        if dimensions != extractor.dimensions:
            raise GanError(
                f"{self.name}: statistics of {dimensions} features, but {extractor.name} has "
                f"{extractor.dimensions}; choose the extractor that made the file"
            )
        made_by = self.labels.get("extractor_digest", extractor.digest)
        if made_by != extractor.digest:
            raise GanError(
                f"{self.name}: made by {self.labels.get('extractor')} {str(made_by)[:8]}, not by "
                f"{extractor.name} {extractor.digest[:8]}; choose the extractor that made the file"
            )
        return FeatureSet(self.statistics, None)
