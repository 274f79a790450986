"""Penalties on the discriminator's gradient."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
) -> Tensor:
    """Mean over samples of (||gradient of the score at a mixture|| - 1)^2, float32.

    Gulrajani et al. 2017 (arXiv:1704.00028), algorithm 1: one mixing coefficient and one norm per
    sample. real, fake: (N, 3, H, W) pixels; mix: (N,) in (0, 1), the share of real.
    """
    share = mix.view(-1, *[1] * (real.dim() - 1))
    between = (share * real + (1 - share) * fake).requires_grad_()
    scores = discriminator(between)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    # epsilon inside the root: its derivative at a zero gradient would be infinite, then NaN
    norm = (gradient.float().flatten(1).square().sum(1) + 1e-12).sqrt()
    return (norm - 1).square().mean()
