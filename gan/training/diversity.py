"""Diversity of generated pictures: an early sign of mode collapse."""

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

SIDE = 16
"""Pictures are averaged down to this side: noise and texture are not diversity."""


def diversity(images: Tensor) -> float:
    """Mean distance of each picture to its nearest other picture, in levels (0 to 255).

    images: (N, 3, H, W) uint8, N at least 2. A distance is the root mean square over the channels
    of 16x16 area means. It is 0 if every picture has a copy, and falls by the share of pictures
    that have one. It also falls with N, so only equal counts compare. Needs memory for N x N
    numbers.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, not {images.dtype}")
    if len(images) < 2:
        raise ValueError(f"diversity needs at least 2 pictures, not {len(images)}")
    small = adaptive_avg_pool2d(images.cpu().double(), SIDE).flatten(1)
    # by matrix multiplication equal pictures would have a distance
    distances = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.fill_diagonal_(float("inf")).amin(1)
    return nearest.mean().item() / math.sqrt(small.shape[1])
