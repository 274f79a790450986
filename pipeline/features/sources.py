"""Real images of a reference: a split of the tensor cache, or a file of their statistics."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from torch import Tensor

from gan.errors import GanError
from gan.features.extraction import image_batches
from gan.features.extractor import Extractor
from gan.features.statistics import FeatureSet, Labels, Statistics, load_statistics
from gan.tensor_cache import Images, Split, TensorCache
from pipeline.paths import sha256_of

MAX_NAME = 24
"""Characters of a name in a metric key; longer names are cut, and the digest tells them apart."""


class ImageSource(Protocol):
    """Two images or more, all of one size, in a fixed order."""

    @property
    def description(self) -> str:
        """Text for results and messages: `train split of the cache`."""

    @property
    def tag(self) -> str:
        """Name in metric keys: `train`, `holdout`, `vs_<folder>_<8 hex digits>`."""

    @property
    def digest(self) -> str:
        """Hex sha256 of the content: equal digests, equal images in equal order."""

    def __len__(self) -> int:
        """Count the images."""

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all images in order, as (n, 3, H, W) uint8, n = size but for the last."""


def reference_tag(name: str, digest: str) -> str:
    """Return `vs_<name>_<8 digits of digest>`, the name in letters, digits and dashes only."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_NAME].strip("-")
    return "_".join(part for part in ("vs", cleaned, digest[:8]) if part)


@dataclass(frozen=True, eq=False)
class CacheSplit:
    """One split of the tensor cache, of two images or more."""

    cache: TensorCache
    tag: Split

    def __len__(self) -> int:
        return len(self.cache.split(self.tag))

    @property
    def description(self) -> str:
        return f"{self.tag} split of the cache"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.cache.digest} {self.tag}".encode()).hexdigest()

    @property
    def size(self) -> tuple[int, int]:
        return self.cache.size, self.cache.size

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all images; GanError if the pixels don't match the cache's digest.

        Features are stored by that digest: those of damaged pixels would be found for ever.
        """
        self.cache.verify()
        return image_batches(self.cache.split(self.tag), size)

    def select(self, indices: Sequence[int]) -> Images:
        return np.array(self.cache.split(self.tag)[np.asarray(indices, dtype=np.int64)])


@dataclass(frozen=True)
class StatisticsFile:
    """Statistics of images without the images, as pytorch-fid or this project saved them."""

    name: str
    digest: str
    statistics: Statistics
    labels: Labels

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read an .npz file; GanError, one line, if it holds no statistics."""
        statistics, labels = load_statistics(path)
        return cls(path.name, sha256_of(path), statistics, labels)

    @property
    def description(self) -> str:
        """Text for results and messages; no path, which would be of one machine."""
        count = self.statistics.count
        return f"statistics file {self.name}" + ("" if count is None else f", {count} images")

    @property
    def tag(self) -> str:
        """Name in metric keys."""
        return reference_tag(self.name.removesuffix(".npz"), self.digest)

    def get_features(self, extractor: Extractor) -> FeatureSet:
        """Return the statistics as those of an extractor; GanError if another one computed them.

        A file of pytorch-fid doesn't name its extractor: the number of features must match.
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
