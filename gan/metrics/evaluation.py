"""From batches of images to statistics: the one path that real and generated images both take."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.metrics.features import Extractor
from gan.metrics.statistics import Statistics, StreamingStatistics


def feature_statistics(
    batches: Iterable[Tensor], extractor: Extractor, batch_size: int
) -> Statistics:
    """Statistics of the features of all images in `batches` ((n, 3, H, W) uint8, any n).

    The extractor always sees `batch_size` images (fewer at the end), so the result doesn't
    depend on how they came. GanError with fewer than two images.
    """
    statistics = StreamingStatistics(extractor.dimensions)
    for batch in rebatch(batches, batch_size):
        statistics.add(extractor(batch))
    return statistics.result()


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


def image_batches(images: NDArray[np.uint8], size: int) -> Iterator[Tensor]:
    """Yield (n, 3, H, W) uint8 batches of an array (N, H, W, 3), copying only what is read."""
    for start in range(0, len(images), size):
        rows = np.array(images[start : start + size])
        yield torch.from_numpy(rows).permute(0, 3, 1, 2)
