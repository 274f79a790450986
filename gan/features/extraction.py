"""Feature extraction from batches of images, the same for real and generated ones."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gan.errors import GanError
from gan.features.extractor import Extractor
from gan.features.statistics import Features
from gan.tensor_cache import Images

MIN_CHUNK = 64  # images, at least, that are extracted at once


def extract_features(
    batches: Iterable[Tensor], extractors: Sequence[Extractor], out: Sequence[Features]
) -> None:
    """Extract features of N images into `out`, an array (N, D) for each extractor.

    Makes one pass over batches (n, 3, H, W) uint8 of any n. Raises GanError if features are not
    finite, ValueError if there are not N images.
    """
    done = 0
    for batch in batches:
        for extractor, rows in zip(extractors, out, strict=True):
            features = extractor(batch).numpy()
            if not np.isfinite(features).all():
                raise GanError(
                    f"{extractor.name}: features of images {done} to {done + len(batch) - 1} are "
                    "not finite; its weights are damaged"
                )
            rows[done : done + len(batch)] = features
        done += len(batch)
    if any(len(rows) != done for rows in out):
        raise ValueError(f"{done} images, but arrays of {[len(rows) for rows in out]}")


def chunk_size(batch_size: int) -> int:
    """Number of images to extract at once: a multiple of `batch_size`, at least MIN_CHUNK.

    Then only the last part of all is padded.
    """
    return batch_size * -(-MIN_CHUNK // batch_size)


def allocate_features(count: int, extractor: Extractor) -> Features:
    """Allocate an array in memory for features of `count` images."""
    return np.empty((count, extractor.dimensions), dtype=np.float32)


def rebatch(batches: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Yield the same images in batches of `size`, the last one smaller."""
    rest: Tensor | None = None
    for batch in batches:
        rest = batch if rest is None else torch.cat([rest, batch])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if rest is not None and len(rest):
        yield rest


def image_batches(images: Images, size: int) -> Iterator[Tensor]:
    """Yield batches (n, 3, H, W) uint8 of an array (N, H, W, 3), copied one by one."""
    for start in range(0, len(images), size):
        batch = np.array(images[start : start + size])
        yield torch.from_numpy(batch).permute(0, 3, 1, 2)
