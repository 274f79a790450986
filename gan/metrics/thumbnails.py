"""An image as 8x8 colours, twice: as they are, and as a shape that no brightness changes.

What a copy is looked for in. Noise, JPEG and a shift by a pixel, which move the features of a
network far, hardly move these; two different faces are far from each other all the same.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gan.features.extractor import Precision, check_images

SIDE = 8  # cells of a side; of 4, 8 and 16 the one that stands shifts and tells faces apart
CELLS = 3 * SIDE * SIDE
FLAT = CELLS**0.5 / 255  # norm of a shape of one grey level: below, it is rounding
PROTOCOL = (
    "pixels: uint8, area average to 8x8, x/255; then the same less each colour's mean, "
    "over its norm (at least sqrt(192)/255), float32"
)

VIEWS = (slice(0, CELLS), slice(CELLS, 2 * CELLS))
"""Columns of the colours, in [0, 1], and of the shapes, of norm 1 at most."""


class Thumbnails:
    """The extractor `pixels`: 384 numbers, no weights, next to no time."""

    name = "pixels"
    precision: Precision = "float32"
    dimensions = 2 * CELLS
    protocol = PROTOCOL
    digest = hashlib.sha256(PROTOCOL.encode()).hexdigest()

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, 384) float32 of images (N, 3, H, W) uint8."""
        check_images(images)
        colours = functional.adaptive_avg_pool2d(images.cpu().float(), SIDE) / 255
        centred = colours - colours.mean(dim=(2, 3), keepdim=True)
        norms = centred.flatten(1).norm(dim=1).clamp_min(FLAT)
        return torch.cat([colours.flatten(1), centred.flatten(1) / norms[:, None]], dim=1)

    def logits(self, features: Tensor) -> None:
        """There are no classes."""


def mirror_columns() -> NDArray[np.int64]:
    """Columns (384,): features[:, these] are the features of the images seen in a mirror."""
    return np.arange(2 * CELLS).reshape(2, 3, SIDE, SIDE)[..., ::-1].ravel()
