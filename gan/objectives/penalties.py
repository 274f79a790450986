"""Penalties on the discriminator's gradient, which are differentiated twice.

Each is a mean over samples of something that a sample has on its own, so that it does not depend
on the batch, and several processes can average theirs.
"""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from gan.params.train import PenaltyParams

Scores = Callable[[Tensor], Tensor]


def gradient_penalty(discriminator: Scores, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Mean over samples of (||gradient of the score at a mixture|| - 1)^2.

    Gulrajani et al. 2017 (arXiv:1704.00028), algorithm 1: one mixing coefficient and one norm per
    sample. real, fake: (N, 3, H, W) pixels, taken as constants; mix: (N,) in (0, 1), the share of
    real. float64 if the pixels are, else float32, whatever the discriminator computes in.
    """
    share = mix.to(real.dtype).view(-1, 1, 1, 1)
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    (gradient,) = _gradients(discriminator(between), [between])
    # epsilon inside the root: its derivative at a zero gradient would be infinite, then NaN
    norms = (_squared_norms(gradient) + 1e-12).sqrt()
    return (norms - 1).square().mean()


def squared_gradient(scores: Tensor, pixels: Tensor) -> Tensor:
    """Mean over samples of ||d score / d pixels||^2; scores (N,) come from pixels (N, 3, H, W).

    At real pictures and times gamma / 2 it is R1 (Mescheder et al. 2018, arXiv:1801.04406,
    equation 9), at fake ones R2 (equation 10). float64 if the pixels are, else float32.
    """
    (gradient,) = _gradients(scores, [pixels])
    return _squared_norms(gradient).mean()


def penalties(
    params: PenaltyParams,
    discriminator: Scores,
    real: Tensor,
    fake: Tensor,
    real_scores: Tensor,
    fake_scores: Tensor,
    mix: Tensor,
) -> dict[str, Tensor]:
    """Those penalties that have a weight, not yet multiplied by it: 0-d tensors by name.

    penalty/gradient is gradient_penalty, penalty/r1 and penalty/r2 are squared_gradient. For these
    two the scores must have been computed from `real` and `fake`, which require grad.
    """
    measured = {}
    if params.gradient:
        measured["penalty/gradient"] = gradient_penalty(discriminator, real, fake, mix)
    if params.r1 and params.r2:  # one backward pass for both
        scores = torch.cat([real_scores, fake_scores])
        at_real, at_fake = _gradients(scores, [real, fake])
        measured["penalty/r1"] = _squared_norms(at_real).mean()
        measured["penalty/r2"] = _squared_norms(at_fake).mean()
    elif params.r1:
        measured["penalty/r1"] = squared_gradient(real_scores, real)
    elif params.r2:
        measured["penalty/r2"] = squared_gradient(fake_scores, fake)
    return measured


def weighted(params: PenaltyParams, measured: dict[str, Tensor]) -> Tensor:
    """What penalties add to the discriminator's loss in a step that computes them: 0-d.

    `measured` has at least one of them. Times `every`, since the steps between go without (lazy
    regularisation; Karras et al. 2020, arXiv:1912.04958, section 3.1).
    """
    weights = {
        "penalty/gradient": params.gradient,
        "penalty/r1": params.r1 / 2,
        "penalty/r2": params.r2 / 2,
    }
    parts = [params.every * weights[name] * value for name, value in measured.items()]
    return reduce(torch.add, parts)


def _gradients(scores: Tensor, pixels: list[Tensor]) -> tuple[Tensor, ...]:
    """d score / d pixels of each sample, which can be differentiated once more."""
    # a sample's score depends on its own pixels only, so the sum's gradient is each one's own
    return torch.autograd.grad(scores.sum(), pixels, create_graph=True)


def _squared_norms(gradient: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N,)."""
    precise = gradient if gradient.dtype == torch.float64 else gradient.float()
    return precise.square().sum((1, 2, 3))
