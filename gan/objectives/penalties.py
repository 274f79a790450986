"""Penalties on the discriminator's gradient; training on them needs a double backward.

Each is a mean of one number per sample, which does not depend on the rest of the batch, so that
several processes can average theirs.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

from gan.params.train import PenaltyParams

Scores = Callable[[Tensor], Tensor]


def gradient_penalty(discriminator: Scores, real: Tensor, fake: Tensor, mixing: Tensor) -> Tensor:
    """Mean over samples of (||gradient of the score at a mixture|| - 1)^2.

    Gulrajani et al. 2017 (arXiv:1704.00028), algorithm 1: one mixing coefficient and one norm per
    sample. real, fake: (N, 3, H, W) pixels, taken as constants; mixing: (N,) in (0, 1), the share
    of real. float64 if the pixels are, else float32, whatever the discriminator computes in.
    """
    share = mixing.to(real.dtype).view(-1, 1, 1, 1)
    mixture = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    (gradient,) = _gradients(discriminator(mixture), [mixture])
    # epsilon inside the root: its derivative at a zero gradient would be infinite, then NaN
    norms = (_sum_of_squares(gradient) + 1e-12).sqrt()
    return (norms - 1).square().mean()


def compute_penalties(
    params: PenaltyParams,
    discriminator: Scores,
    real: Tensor,
    fake: Tensor,
    real_scores: Tensor,
    fake_scores: Tensor,
    mixing: Tensor,
) -> dict[str, Tensor]:
    """Compute the penalties that have a weight, before weighting: 0-d tensors by name.

    penalty/gradient is gradient_penalty; penalty/r1 and penalty/r2 are means over samples of
    ||d score / d pixels||^2 at real and at fake pictures, which times gamma / 2 are R1 and R2
    (Mescheder et al. 2018, arXiv:1801.04406, equations 9 and 10). For these two the scores must
    have been computed from `real` and `fake`, which require grad. float64 or float32, as above.
    """
    values = {}
    if params.gradient:
        values["penalty/gradient"] = gradient_penalty(discriminator, real, fake, mixing)
    squared = {}
    if params.r1:
        squared["penalty/r1"] = real_scores, real
    if params.r2:
        squared["penalty/r2"] = fake_scores, fake
    if squared:  # one backward pass for both
        scores, pixels = zip(*squared.values(), strict=True)
        for name, gradient in zip(squared, _gradients(torch.cat(scores), pixels), strict=True):
            values[name] = _sum_of_squares(gradient).mean()
    return values


def penalty_loss(params: PenaltyParams, values: dict[str, Tensor]) -> Tensor:
    """Weighted sum of penalties that is added to the discriminator's loss: 0-d.

    values: at least one penalty, as `compute_penalties` returns them. Multiplied by `every`, since
    only each `every`-th step computes them (lazy regularisation; Karras et al. 2020,
    arXiv:1912.04958, section 3.1).
    """
    weights = {
        "penalty/gradient": params.gradient,
        "penalty/r1": params.r1 / 2,
        "penalty/r2": params.r2 / 2,
    }
    parts = [params.every * weights[name] * value for name, value in values.items()]
    return reduce(torch.add, parts)


def _gradients(scores: Tensor, pixels: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """d score / d pixels of each sample, with a graph for the double backward."""
    # a score depends on its own sample only, so the gradient of the sum is that of each score
    return torch.autograd.grad(scores.sum(), pixels, create_graph=True)


def _sum_of_squares(gradient: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N,)."""
    precise = gradient if gradient.dtype == torch.float64 else gradient.float()
    return precise.square().sum((1, 2, 3))
