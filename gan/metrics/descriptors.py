"""Features by descriptors, of a sample of images that pass by on their way to other extractors."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gan.features.statistics import Features
from gan.metrics.metric import Descriptor, subsample

if TYPE_CHECKING:  # `gan compare` imports metrics, and needs no torch
    from torch import Tensor

MAX_PICTURES = 5000  # on a side


class DescribedSample:
    """Features by descriptors of at most 5,000 among `count` images, evenly spaced.

    vectors: by the descriptors' names, complete when all batches have passed.
    """

    def __init__(self, descriptors: Sequence[Descriptor], count: int) -> None:
        self.count = count
        self._descriptors = descriptors
        self._chosen = subsample(np.arange(count), MAX_PICTURES)
        self.vectors: dict[str, Features] = {
            each.name: np.empty((len(self._chosen), each.dimensions), dtype=np.float32)
            for each in descriptors
        }

    def watch(self, batches: Iterable["Tensor"]) -> Iterator["Tensor"]:
        """Yield batches (n, 3, H, W) uint8 unchanged, and describe the images of the sample."""
        done = 0
        for batch in batches:
            start, end = np.searchsorted(self._chosen, [done, done + len(batch)])
            if start < end:
                images = batch.cpu().numpy()[self._chosen[start:end] - done]
                for each in self._descriptors:
                    self.vectors[each.name][start:end] = each.describe(images)
            done += len(batch)
            yield batch
