"""From batches of images to features: the one path that real and generated images both take."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.errors import GanError
from gan.features.extractor import Extractor
from gan.features.statistics import Statistics
from gan.tensor_cache import Images

Features = NDArray[np.float32]
"""(N, D), in memory or a memory map; row i is of image i."""


MIN_CHUNK = 64  # images, at least, that go through extractors together


@dataclass(frozen=True)
class FeatureSet:
    """What one extractor saw of one set of images.

    features is None where only statistics are known, as of a file that another program wrote.
    """

    statistics: Statistics
    features: Features | None

    @property
    def vectors(self) -> Features:
        """The features; ValueError where only statistics are known."""
        if self.features is None:
            raise ValueError("only mean and covariance are known")
        return self.features

    @property
    def count(self) -> int:
        """How many images; ValueError where it is not known."""
        if self.statistics.count is None:
            raise ValueError("nobody counted these images")
        return self.statistics.count


def extract_features(
    batches: Iterable[Tensor], extractors: Sequence[Extractor], into: Sequence[Features]
) -> None:
    """Fill `into`, an array (N, D) an extractor, with features of the N images of `batches`.

    One pass over batches (n, 3, H, W) uint8 of any n. Raises GanError if features are not
    finite, ValueError if there are not N images.
    """
    done = 0
    for batch in batches:
        for extractor, rows in zip(extractors, into, strict=True):
            found = extractor(batch).numpy()
            if not np.isfinite(found).all():
                raise GanError(
                    f"{extractor.name}: features of images {done} to {done + len(batch) - 1} are "
                    "not finite; its weights are damaged"
                )
            rows[done : done + len(batch)] = found
        done += len(batch)
    if any(len(rows) != done for rows in into):
        raise ValueError(f"{done} images, but room for {[len(rows) for rows in into]}")


def chunk_size(batch_size: int) -> int:
    """How many images to give an extractor that takes `batch_size` at once, or fewer.

    A multiple, so that no part needs filling up but the last of all.
    """
    return batch_size * -(-MIN_CHUNK // batch_size)


def allocate_features(count: int, extractor: Extractor) -> Features:
    """An array in memory for features of `count` images."""
    return np.empty((count, extractor.dimensions), dtype=np.float32)


def rebatch(batches: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Yield the same rows in batches of `size`, the last one smaller."""
    waiting: list[Tensor] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        if count >= size:
            *full, rest = _cut(torch.cat(waiting), size)
            yield from full
            waiting, count = [rest], len(rest)
    if count:
        yield torch.cat(waiting)


def _cut(rows: Tensor, size: int) -> list[Tensor]:
    """Whole batches of `size`, then the rest, which may be empty."""
    whole = len(rows) - len(rows) % size
    return [*torch.split(rows[:whole], size), rows[whole:]] if whole else [rows]


def image_batches(images: Images, size: int) -> Iterator[Tensor]:
    """Yield (n, 3, H, W) uint8 batches of an array (N, H, W, 3), copying only what is read."""
    for start in range(0, len(images), size):
        rows = np.array(images[start : start + size])
        yield torch.from_numpy(rows).permute(0, 3, 1, 2)
