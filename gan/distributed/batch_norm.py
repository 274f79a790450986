"""Synchronised batch norm: its statistics are of the batches of all processes together.

torch's SyncBatchNorm is for GPUs only and waits for the GPU in each layer; this one works on every
backend of torch.distributed.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from gan.distributed.collectives import gather, reduce_in_place


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm (Ioffe & Szegedy 2015) over equally large batches of all processes.

    In eval mode it is nn.BatchNorm2d. It has no double backward.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        with torch.no_grad():
            mean, variance = _global_moments(input)
            self._update_running_statistics(mean, variance, _global_count(input))
        normalised: Tensor = _SyncBatchNormFunction.apply(
            input, self.weight, self.bias, mean, variance, self.eps
        )
        return normalised

    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update them as torch's batch norm does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        unbiased = variance * (count / (count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


def convert_sync_batch_norm(network: nn.Module) -> None:
    """Synchronise the batch norms of a network in place; parameters, buffers and names stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d  # it differs in `forward` only


def _global_count(pixels: Tensor) -> int:
    """Number of pixels of a channel in the batches of all processes."""
    return pixels.numel() // pixels.shape[1] * dist.get_world_size()


def _global_moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) over all processes, at least in float32."""
    exact = pixels if pixels.dtype == torch.float64 else pixels.float()
    own_variance, own_mean = torch.var_mean(exact, dim=(0, 2, 3), correction=0)
    own = torch.stack([own_mean, own_variance])
    means, variances = gather(own, dist.get_world_size()).unbind(1)
    # not mean of squares minus squared mean, which cancels where the mean is large
    variance, mean = torch.var_mean(means, dim=0, correction=0)
    return mean, variance + variances.mean(0)


class _SyncBatchNormFunction(torch.autograd.Function):
    """(input - mean) / deviation * weight + bias, where the moments depend on the input too."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, *others: Any) -> Tensor:
        weight, bias, mean, variance, eps = others
        ctx.save_for_backward(pixels, weight, mean, variance)
        ctx.eps = eps
        return batch_norm(pixels, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        pixels, weight, mean, variance = ctx.saved_tensors
        # with the moments taken as constants
        direct, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            upstream, pixels, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
        )
        # through the moments: the sums are the gradients of weight and bias over all processes
        sums = reduce_in_place(torch.stack([to_weight, to_bias]))
        sum_product, sum_upstream = sums.unbind()
        inverse = torch.rsqrt(variance + ctx.eps)
        scale = weight * inverse / _global_count(pixels)
        slope = scale * inverse * sum_product
        level = scale * sum_upstream - mean * slope
        indirect = torch.addcmul(level.view(-1, 1, 1), pixels, slope.view(-1, 1, 1))
        return (direct - indirect).to(pixels.dtype), to_weight, to_bias, None, None, None
