"""How different generated pictures are from one another: an early sign of a collapse."""

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

SIDE = 16
"""Pictures are averaged down to this: noise and texture are not diversity."""


def diversity(images: Tensor) -> float:
    """Mean distance of each picture to the one most like it, in levels (0 to 255).

    images: (N, 3, H, W) uint8, N at least 2. A distance is the root mean square over channels and
    a picture of 16x16 area means. It is 0 if every picture is there twice, and shrinks by the
    share of those that are; more pictures of one source are less far from one another, so only
    equal counts compare. Takes memory for N x N numbers.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, not {images.dtype}")
    if len(images) < 2:
        raise ValueError("one picture has no other to differ from")
    small = adaptive_avg_pool2d(images.cpu().double(), SIDE).flatten(1)
    # not by matrix multiplication, which gives equal pictures a distance
    distances = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.fill_diagonal_(float("inf")).amin(1)
    return nearest.mean().item() / math.sqrt(small.shape[1])
