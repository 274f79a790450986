"""Conversion between `images` (uint8, 0 to 255) and `pixels` (float in [-1, 1])."""

import torch
from torch import Tensor


def to_pixels(images: Tensor) -> Tensor:
    """Map uint8 `images` of any shape, (N,3,H,W) or (N,H,W,3), to float32 in [-1, 1].

    Shape, device and memory format stay. Raises TypeError for anything but uint8.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, not {images.dtype}")
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_images(pixels: Tensor) -> Tensor:
    """Quantise `pixels` of any float type and shape to uint8, the inverse of `to_pixels`.

    Rounds to the nearest level, so that all 256 levels survive a round trip and the error is at
    most half a level; truncation would darken every picture by half a level, which changes FID.
    Values outside [-1, 1] are clamped.
    """
    if not pixels.is_floating_point():
        raise TypeError(f"pixels must be floating point, not {pixels.dtype}")
    levels = pixels.detach().to(torch.float32).add(1.0).mul_(127.5)
    return levels.round_().clamp_(0, 255).to(torch.uint8)
