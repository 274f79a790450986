"""Layers that halve or double a picture: torch's own, with fewer multiplications on a processor.

Parameters, initialisation and results are those of the torch classes they derive from; only
rounding differs. Where the transforms don't pay, or another precision is wanted, torch's own
convolution runs.
"""

from collections.abc import Callable
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
"""Multiplications for each transformed number, from which transforms are worth their time."""

Map = Callable[[Tensor], Tensor]


def _linear(source: Tensor, apply: Map, adjoint: Map) -> Tensor:
    return cast(Tensor, _Linear.apply(source, apply, adjoint))


class _Linear(torch.autograd.Function):
    """A linear map and its adjoint: each is the other's derivative, as often as one likes."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, apply: Map, adjoint: Map) -> Tensor:
        ctx.maps = adjoint, apply
        return apply(source)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _linear(gradient, *ctx.maps), None, None


def _factors(weight: Tensor) -> Tensor:
    inner = weight.shape[1]
    return _linear(weight, to_factors, lambda factors: from_factors(factors, inner))


def halve(pixels: Tensor, weight: Tensor) -> Tensor:
    """conv2d of (N, C, 2S, 2S) with (C', C, 4, 4), stride 2, padding 1; S a multiple of 4."""
    count, channels, side = pixels.shape[0], pixels.shape[1], pixels.shape[2] // 2

    def back(points: Tensor) -> Tensor:
        return from_points(points, count, channels, side)

    def shrink(products: Tensor) -> Tensor:
        return to_pixels(products, count, side)

    points = _linear(pixels, to_points, back)
    products = torch.bmm(points, _factors(weight).mT)
    return _linear(products, shrink, from_pixels)


def double(pixels: Tensor, weight: Tensor) -> Tensor:
    """conv_transpose2d of (N, C', S, S) with (C', C, 4, 4), stride 2, padding 1; S as above."""
    count, side, channels = pixels.shape[0], pixels.shape[2], weight.shape[1]

    def shrink(products: Tensor) -> Tensor:
        return to_pixels(products, count, side)

    def back(points: Tensor) -> Tensor:
        return from_points(points, count, channels, side)

    products = _linear(pixels, from_pixels, shrink)
    points = torch.bmm(products, _factors(weight))
    return _linear(points, back, to_points)


def _pays(pixels: Tensor, side: int, wide: int, narrow: int) -> bool:
    """Whether fewer multiplications are faster, for a smaller picture of `side` pixels.

    wide, narrow: channels of the smaller and of the larger picture.
    """
    plain = pixels.device.type == "cpu" and pixels.dtype in (torch.float32, torch.float64)
    square = pixels.shape[2] == pixels.shape[3] and side > 0 and side % TILE == 0
    # autocast has hardware of its own in mind, and a compiler can't see through the maps
    if not plain or not square or torch.is_autocast_enabled("cpu") or is_compiling():
        return False
    tiles = pixels.shape[0] * (side // TILE) ** 2
    return tiles > 0 and 1 / (1 / wide + 1 / (4 * narrow) + 1 / tiles) >= MIN_REUSE


class Halving(nn.Conv2d):
    """4x4, stride 2: (N, inner, 2S, 2S) -> (N, outer, S, S)."""

    def __init__(self, inner: int, outer: int, bias: bool = True) -> None:
        super().__init__(inner, outer, 4, 2, 1, bias=bias)

    def forward(self, pixels: Tensor) -> Tensor:
        if not _pays(pixels, pixels.shape[2] // 2, self.out_channels, self.in_channels):
            return super().forward(pixels)
        return _with_bias(halve(pixels, self.weight), self.bias)


class Doubling(nn.ConvTranspose2d):
    """4x4, stride 2: (N, inner, S, S) -> (N, outer, 2S, 2S)."""

    def __init__(self, inner: int, outer: int, bias: bool = True) -> None:
        super().__init__(inner, outer, 4, 2, 1, bias=bias)

    def forward(self, pixels: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _pays(pixels, pixels.shape[2], self.in_channels, self.out_channels):
            return super().forward(pixels, output_size)
        return _with_bias(double(pixels, self.weight), self.bias)


def _with_bias(pixels: Tensor, bias: Tensor | None) -> Tensor:
    return pixels if bias is None else pixels.add_(bias.view(-1, 1, 1))


class _Bent(torch.autograd.Function):
    """Leaky relu, from whose gradient nothing flows back to its input.

    The second derivative is zero wherever there is one, but torch's own sends the zeros back
    through the whole network, which costs an eighth of a step with a gradient penalty.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, slope: float) -> Tensor:
        out = leaky_relu(hidden, slope) if slope else torch.relu(hidden)  # 0 times inf is NaN
        ctx.slope = slope
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return _Scaled.apply(gradient, out.detach(), ctx.slope), None


class _Scaled(torch.autograd.Function):
    """A gradient, times `slope` where `out` is not positive."""

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
        return _Scaled.apply(gradient, out, ctx.slope), None, None


class LeakyReLU(nn.LeakyReLU):
    """Torch's own, cheaper to differentiate twice."""

    def forward(self, hidden: Tensor) -> Tensor:
        if is_compiling():
            return super().forward(hidden)
        return cast(Tensor, _Bent.apply(hidden, self.negative_slope))


class ReLU(nn.ReLU):
    """Torch's own, cheaper to differentiate twice."""

    def forward(self, hidden: Tensor) -> Tensor:
        if is_compiling():
            return super().forward(hidden)
        return cast(Tensor, _Bent.apply(hidden, 0.0))
