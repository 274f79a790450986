"""Batch norm over the batches of all processes that train together: n compute what one would.

torch's SyncBatchNorm is for GPUs alone and waits for the GPU in each layer; this one works
wherever torch.distributed does.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from gan.distributed.collectives import gathered, total


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch norm (Ioffe & Szegedy 2015) whose batch is that of all processes, in equal parts.

    In eval mode it is what it is without this. Not to be differentiated twice.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        size = dist.get_world_size()
        with torch.no_grad():
            mean, variance = _moments(input, size)
            self._follow(mean, variance, input.numel() // input.shape[1] * size)
        normalised: Tensor = _Normalised.apply(
            input, self.weight, self.bias, mean, variance, self.eps
        )
        return normalised

    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics as torch's batch norm does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share: float | Tensor = 1 / self.num_batches_tracked
        if self.momentum is not None:
            share = self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * (count / (count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def with_global_norm(network: nn.Module) -> None:
    """Let the batch norms of a network be global; parameters, buffers and names stay."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _global(child))


def _global(norm: nn.BatchNorm2d) -> GlobalBatchNorm2d:
    found = GlobalBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    found.weight, found.bias = norm.weight, norm.bias
    found.running_mean, found.running_var = norm.running_mean, norm.running_var
    found.num_batches_tracked = norm.num_batches_tracked
    return found.train(norm.training)


def _moments(pixels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) over all processes, at least in float32."""
    exact = pixels if pixels.dtype == torch.float64 else pixels.float()
    own_variance, own_mean = torch.var_mean(exact, dim=(0, 2, 3), correction=0)
    means, variances = gathered(torch.stack([own_mean, own_variance]), size).unbind(1)
    # not mean of squares minus squared mean, which cancels where the mean is large
    variance, mean = torch.var_mean(means, dim=0, correction=0)
    return mean, variance + variances.mean(0)


class _Normalised(torch.autograd.Function):
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
        # as if the moments were constants
        direct, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            upstream, pixels, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
        )
        found = _through_moments(pixels, weight, mean, variance, ctx.eps, to_weight, to_bias)
        return (direct - found).to(pixels.dtype), to_weight, to_bias, None, None, None


def _through_moments(
    pixels: Tensor,
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    to_weight: Tensor,
    to_bias: Tensor,
) -> Tensor:
    """What the gradient of the input loses because mean and variance follow it.

    The sums that it takes over the batch are the gradients of weight and bias, of all processes.
    """
    count = pixels.numel() // pixels.shape[1] * dist.get_world_size()
    sum_product, sum_upstream = total(torch.stack([to_weight, to_bias])).unbind()
    inverse = torch.rsqrt(variance + eps)
    scale = weight * inverse / count
    slope = scale * inverse * sum_product
    level = scale * sum_upstream - mean * slope
    return torch.addcmul(level.view(-1, 1, 1), pixels, slope.view(-1, 1, 1))
