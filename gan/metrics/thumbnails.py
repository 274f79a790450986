"""Thumbnails of 8x8 colours as features that find copies of training images.

They have two views: the colours themselves, and their shape, which brightness and contrast don't
change. Noise, JPEG and a shift by one pixel move the features of a network far, but thumbnails
hardly; those of different faces are still far from each other.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gan.features.extractor import Precision, check_images

SIDE = 8  # cells; 16 would not tolerate shifts, 4 not distinguish faces
CELLS = 3 * SIDE * SIDE
MIN_NORM = CELLS**0.5 / 255  # of a shape, one grey level; less is rounding
PROTOCOL = (
    "pixels: uint8, area average to 8x8, x/255; then the same less each colour's mean, "
    "over its norm (at least sqrt(192)/255), float32"
)

VIEWS = (slice(0, CELLS), slice(CELLS, 2 * CELLS))
"""Columns of the two views: colours in [0, 1], and shapes of norm 1 at most."""


class Thumbnails:
    """The feature extractor `pixels`: 384 features, no weights, nearly free."""

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
        norms = centred.flatten(1).norm(dim=1).clamp_min(MIN_NORM)
        return torch.cat([colours.flatten(1), centred.flatten(1) / norms[:, None]], dim=1)

    def logits(self, features: Tensor) -> None:
        """None: it has no classes."""


def mirror_columns() -> NDArray[np.int64]:
    """Columns (384,) such that features[:, columns] are the features of the mirrored images."""
    return np.arange(2 * CELLS).reshape(2, 3, SIDE, SIDE)[..., ::-1].ravel()
