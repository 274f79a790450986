"""The averaged generator: an exponential moving average of parameters, with its own batch norm."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

WARM_UP = 0.05
"""The half-life is at most this share of the images seen (Karras et al. 2020, appendix B)."""


@torch.no_grad()
def update_average(
    average: nn.Module, network: nn.Module, images: int, images_seen: int, half_life: int
) -> None:
    """Move the average's parameters towards the network's, after `images` more images.

    Buffers are left alone: a running mean of another network's activations is not the average's
    own, and its colours drift with it; `recalibrate` measures them.
    """
    half_life_now = min(float(half_life), images_seen * WARM_UP)
    weight = 1 - 0.5 ** (images / max(half_life_now, 1e-8))
    averaged: list[Tensor] = list(average.parameters())
    current: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(averaged, current, weight)


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Measure batch norm's statistics anew on batches of inputs, then leave the network in eval.

    Izmailov et al. 2018 (arXiv:1803.05407), section 3.2: averaged weights need their own.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain mean over all batches
    network.train()
    for batch in batches if norms else ():
        network(batch)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
