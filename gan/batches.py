"""Endless batches of real pixels; order and flips are a function of (seed, sample index)."""

import numpy as np
import torch
from torch import Tensor

from gan.pixels import to_pixels
from gan.randomness import permutation, uniform

RESIDENT_SHARE = 0.5
"""Images that take at most this share of an accelerator's free memory are kept there."""


class Batches:
    """Batches over `images` (n, H, W, 3) uint8, which may be memory-mapped.

    Sample `i` is image `order(epoch i // n)[i % n]`; n is at least 1, and an epoch's end may fall
    inside a batch. Order and flips are drawn from `seed`.
    """

    def __init__(
        self, images: np.ndarray, seed: int, batch_size: int, flip: bool, device: torch.device
    ) -> None:
        self.seed, self.batch_size, self.flip, self.device = seed, batch_size, flip, device
        self._images = images
        self._resident = _resident(images, device)
        self._orders: dict[int, np.ndarray] = {}

    def __call__(self, first: int) -> Tensor:
        """Pixels (batch_size, 3, H, W) float32 of samples first, first + 1, ..., on the device."""
        samples = np.arange(first, first + self.batch_size)
        images = self._read(self._rows(samples)).permute(0, 3, 1, 2)
        pixels = to_pixels(images)
        if not self.flip:
            return pixels
        indices = torch.as_tensor(samples, device=self.device)
        mirrored = uniform(self.seed, "flip", indices).view(-1, 1, 1, 1) < 0.5
        return torch.where(mirrored, pixels.flip(3), pixels)

    def _rows(self, samples: np.ndarray) -> np.ndarray:
        epochs, places = np.divmod(samples, len(self._images))
        rows = np.empty_like(samples)
        for epoch in np.unique(epochs):
            inside = epochs == epoch
            rows[inside] = self._order(int(epoch))[places[inside]]
        return rows

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            # a batch spans few epochs, so older orders are of no more use
            self._orders = {key: order for key, order in self._orders.items() if key == epoch - 1}
            self._orders[epoch] = permutation(self.seed, "order", epoch, len(self._images))
        return self._orders[epoch]

    def _read(self, rows: np.ndarray) -> Tensor:
        if self._resident is not None:
            return self._resident[torch.as_tensor(rows, device=self.device)]
        images = torch.from_numpy(self._images[rows])
        if self.device.type != "cuda":
            return images.to(self.device)
        return images.pin_memory().to(self.device, non_blocking=True)


def _resident(images: np.ndarray, device: torch.device) -> Tensor | None:
    """The images on the accelerator if they fit; a CPU reads the memory map itself."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if images.nbytes > free * RESIDENT_SHARE:
        return None
    return torch.from_numpy(np.ascontiguousarray(images)).to(device)
