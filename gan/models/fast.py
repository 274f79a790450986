"""Faster versions of torch's layers: 4x4 convolutions of stride 2 on a CPU, (leaky) ReLU.

Parameters, initialisation and results are those of the torch classes they derive from; only
rounding differs. Where Winograd's transforms would not be faster, or in another precision, torch's
own convolution runs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import leaky_relu

from gan.models.winograd import (
    TILE,
    from_factors,
    from_pixels,
    from_points,
    to_factors,
    to_pixels,
    to_points,
)

MIN_REUSE = 40
"""Multiplications for each transformed number, from which on the transforms are faster."""

LinearMap = Callable[[Tensor], Tensor]


def _apply_linear(tensor: Tensor, linear_map: LinearMap, adjoint: LinearMap) -> Tensor:
    return cast(Tensor, _Linear.apply(tensor, linear_map, adjoint))


class _Linear(torch.autograd.Function):
    """A linear map with its adjoint as the derivative, which can be differentiated any times."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, linear_map: LinearMap, adjoint: LinearMap) -> Tensor:
        ctx.maps = adjoint, linear_map
        return linear_map(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _apply_linear(gradient, *ctx.maps), None, None


def _factors(weight: Tensor) -> Tensor:
    return _apply_linear(weight, to_factors, partial(from_factors, in_channels=weight.shape[1]))


def _maps(count: int, channels: int, side: int) -> tuple[LinearMap, LinearMap]:
    """From products to the smaller pictures, of `side` pixels; from points to the larger ones."""
    smaller = partial(to_pixels, count=count, side=side)
    return smaller, partial(from_points, count=count, channels=channels, side=side)


def down_conv4x4(pixels: Tensor, weight: Tensor) -> Tensor:
    """conv2d of (N, C, 2S, 2S) with weight (C', C, 4, 4), stride 2, padding 1; 4 divides S."""
    smaller, larger = _maps(len(pixels), weight.shape[1], pixels.shape[2] // 2)
    points = _apply_linear(pixels, to_points, larger)
    products = torch.bmm(points, _factors(weight).mT)
    return _apply_linear(products, smaller, from_pixels)


def up_conv4x4(pixels: Tensor, weight: Tensor) -> Tensor:
    """conv_transpose2d of (N, C', S, S) with (C', C, 4, 4), stride 2, padding 1; 4 divides S."""
    smaller, larger = _maps(len(pixels), weight.shape[1], pixels.shape[2])
    products = _apply_linear(pixels, from_pixels, smaller)
    points = torch.bmm(products, _factors(weight))
    return _apply_linear(points, larger, to_points)


def _winograd_pays(pixels: Tensor, side: int, wide: int, narrow: int) -> bool:
    """Whether the transforms make it faster, for a smaller picture of `side` pixels.

    wide, narrow: channels of the smaller and of the larger picture.
    """
    supported = pixels.device.type == "cpu" and pixels.dtype in (torch.float32, torch.float64)
    square = pixels.shape[2] == pixels.shape[3] and side > 0 and side % TILE == 0
    # autocast uses hardware that is faster still, and a compiler can't optimise the maps
    if not supported or not square or torch.is_autocast_enabled("cpu") or is_compiling():
        return False
    tiles = pixels.shape[0] * (side // TILE) ** 2
    return tiles > 0 and 1 / (1 / wide + 1 / (4 * narrow) + 1 / tiles) >= MIN_REUSE


class DownConv4x4(nn.Conv2d):
    """Convolution 4x4 of stride 2: (N, in_channels, 2S, 2S) -> (N, out_channels, S, S)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, pixels: Tensor) -> Tensor:
        if not _winograd_pays(pixels, pixels.shape[2] // 2, self.out_channels, self.in_channels):
            return super().forward(pixels)
        return _add_bias(down_conv4x4(pixels, self.weight), self.bias)


class UpConv4x4(nn.ConvTranspose2d):
    """Its transpose: (N, in_channels, S, S) -> (N, out_channels, 2S, 2S)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, pixels: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _winograd_pays(pixels, pixels.shape[2], self.in_channels, self.out_channels):
            return super().forward(pixels, output_size)
        return _add_bias(up_conv4x4(pixels, self.weight), self.bias)


def _add_bias(pixels: Tensor, bias: Tensor | None) -> Tensor:
    return pixels if bias is None else pixels.add_(bias.view(-1, 1, 1))


class _LeakyReLUFunction(torch.autograd.Function):
    """Leaky ReLU whose double backward sends nothing to its input.

    The second derivative is zero wherever it exists, but torch's own function sends these zeros
    back through the whole network, an eighth of the time of a step with a gradient penalty.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, slope: float) -> Tensor:
        out = _leaky_relu(hidden, slope)
        ctx.slope = slope
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return _LeakyReLUGradient.apply(gradient, out.detach(), ctx.slope), None


class _LeakyReLUGradient(torch.autograd.Function):
    """The gradient, times `slope` where `out` is not positive."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, out: Tensor, slope: float) -> Tensor:
        ctx.slope = slope
        ctx.save_for_backward(out)
        kernels = torch.ops.aten
        if not slope:
            return cast(Tensor, kernels.threshold_backward(gradient, out, 0))
        return cast(Tensor, kernels.leaky_relu_backward(gradient, out, slope, True))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (out,) = ctx.saved_tensors
        return _LeakyReLUGradient.apply(gradient, out, ctx.slope), None, None


class LeakyReLU(nn.LeakyReLU):
    """Torch's own, with a cheaper double backward; ReLU if the slope is 0."""

    def forward(self, hidden: Tensor) -> Tensor:
        function = _leaky_relu if is_compiling() else _LeakyReLUFunction.apply
        return cast(Tensor, function(hidden, self.negative_slope))


def _leaky_relu(hidden: Tensor, slope: float) -> Tensor:
    return leaky_relu(hidden, slope) if slope else torch.relu(hidden)  # 0 times inf is NaN
