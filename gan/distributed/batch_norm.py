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

from gan.distributed.collectives import gather, sum_over_processes


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm (Ioffe & Szegedy 2015) over equally large batches of all processes.

    In eval mode it is nn.BatchNorm2d. It has no double backward.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        size = dist.get_world_size()
        with torch.no_grad():
            mean, variance = _global_moments(input, size)
            self._update_running_statistics(mean, variance, input.numel() // input.shape[1] * size)
        normalised: Tensor = _SyncBatchNormFunction.apply(
            input, self.weight, self.bias, mean, variance, self.eps
        )
        return normalised

    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update them as torch's batch norm does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight: float | Tensor = 1 / self.num_batches_tracked
        if self.momentum is not None:
            weight = self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        unbiased = variance * (count / (count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), weight)


def convert_sync_batch_norm(network: nn.Module) -> None:
    """Replace the batch norms of a network in place; parameters, buffers and names stay."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _convert(child))


def _convert(norm: nn.BatchNorm2d) -> SyncBatchNorm2d:
    converted = SyncBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    converted.weight, converted.bias = norm.weight, norm.bias
    converted.running_mean, converted.running_var = norm.running_mean, norm.running_var
    converted.num_batches_tracked = norm.num_batches_tracked
    return converted.train(norm.training)


def _global_moments(pixels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) over all processes, at least in float32."""
    exact = pixels if pixels.dtype == torch.float64 else pixels.float()
    own_variance, own_mean = torch.var_mean(exact, dim=(0, 2, 3), correction=0)
    means, variances = gather(torch.stack([own_mean, own_variance]), size).unbind(1)
    # not mean of squares minus squared mean, which cancels where the mean is large
    variance, mean = torch.var_mean(means, dim=0, correction=0)
    return mean, variance + variances.mean(0)


class _SyncBatchNormFunction(torch.autograd.Function):
    """(input - mean) / deviation * weight + bias, where the moments depend on the input too."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(input, weight, mean, variance)
        ctx.eps = eps
        return batch_norm(input, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        pixels, weight, mean, variance = ctx.saved_tensors
        # with the moments taken as constants
        direct, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            upstream, pixels, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
        )
        through_moments = _gradient_through_moments(
            pixels, weight, mean, variance, ctx.eps, to_weight, to_bias
        )
        return (direct - through_moments).to(pixels.dtype), to_weight, to_bias, None, None, None


def _gradient_through_moments(
    pixels: Tensor,
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    to_weight: Tensor,
    to_bias: Tensor,
) -> Tensor:
    """The part of the input's gradient that flows through mean and variance, to be subtracted.

    Its sums over the batch are the gradients of weight and bias, over all processes.
    """
    count = pixels.numel() // pixels.shape[1] * dist.get_world_size()
    sum_product, sum_upstream = sum_over_processes(torch.stack([to_weight, to_bias])).unbind()
    inverse = torch.rsqrt(variance + eps)
    scale = weight * inverse / count
    slope = scale * inverse * sum_product
    level = scale * sum_upstream - mean * slope
    return torch.addcmul(level.view(-1, 1, 1), pixels, slope.view(-1, 1, 1))
