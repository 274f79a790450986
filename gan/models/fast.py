"""Faster versions of torch's layers: 4x4 convolutions of stride 2 on a CPU, (leaky) ReLU.

Parameters, initialisation and results are those of the torch classes they derive from; only
rounding differs. Where Winograd's transforms would not be faster, or in another precision, torch's
own convolution runs.

A 4x4 kernel of stride 2 is a 2x2 kernel of stride 1 over pairs of rows and columns. Winograd's
minimal filtering (Lavin & Gray 2015, arXiv:1509.09308) makes 4x4 outputs of such a kernel from 25
products instead of 64, at the points 0, 1, -1, 2 and infinity. All but one batched matrix product
are linear maps that add and subtract. Each has its adjoint, so that derivatives of any order
exist.

S is the side of the smaller picture, T = S / 4 the number of its tiles along a side, and 25 the
number of points of a transformed tile.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import leaky_relu

TILE, POINTS = 4, 5
CHUNK = 1 << 19
"""Numbers transformed at once: as many as a core's own cache holds."""
MIN_REUSE = 40
"""Multiplications for each transformed number, from which on the transforms are faster."""

Parts = Sequence[Tensor]
LinearMap = Callable[[Tensor], Tensor]


def _spread(d: Parts, out: Parts) -> None:
    """Input transform: five neighbours -> values at the five points."""
    middle = torch.sub(d[3], d[1], out=out[3])
    torch.sub(d[0], d[2], out=out[0]).add_(middle, alpha=1 / 2)
    torch.sub(middle, d[1], out=out[1]).sub_(d[2])
    torch.sub(d[1], d[2], out=out[2]).add_(middle, alpha=1 / 3)
    torch.sub(d[4], d[2], out=out[4]).sub_(middle, alpha=2)


def _unspread(v: Parts, out: Tensor, dim: int) -> None:
    """Adjoint of `_spread`, summed over tiles that overlap by one row of `out` along `dim`."""
    tiles = v[0].shape[dim]
    middle = torch.add(v[3], v[0], alpha=1 / 2, out=_rows(out, dim, 3, tiles))
    middle.add_(v[1]).add_(v[2], alpha=1 / 3).sub_(v[4], alpha=2)
    torch.sub(v[2], v[1], out=_rows(out, dim, 1, tiles)).sub_(middle)
    torch.add(v[0], v[1], out=_rows(out, dim, 2, tiles)).add_(v[2]).add_(v[4]).neg_()
    _rows(out, dim, 0, tiles).copy_(v[0])
    out.select(dim, TILE * tiles).copy_(v[4].select(dim, tiles - 1))
    _rows(out, dim, TILE, tiles - 1).add_(v[4].narrow(dim, 0, tiles - 1))


def _gather(m: Parts, out: Parts) -> None:
    """Output transform: products at the five points -> four outputs."""
    even = torch.add(m[1], m[2]).mul_(-1 / 2)
    odd = torch.sub(m[2], m[1]).mul_(1 / 2)
    torch.add(even, m[0], out=out[0]).add_(m[3], alpha=1 / 6)
    torch.add(odd, m[3], alpha=1 / 3, out=out[1])
    torch.add(even, m[3], alpha=2 / 3, out=out[2])
    torch.add(odd, m[3], alpha=4 / 3, out=out[3]).add_(m[4])


def _ungather(y: Parts, out: Parts) -> None:
    """Adjoint of `_gather`."""
    even = torch.add(y[0], y[2]).mul_(-1 / 2)
    odd = torch.add(y[1], y[3]).mul_(-1 / 2)
    out[0].copy_(y[0])
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.add(y[1], y[0], alpha=1 / 2, out=out[3]).add_(y[2], alpha=2).add_(y[3], alpha=4)
    out[3].mul_(1 / 3)
    out[4].copy_(y[3])


def _expand(w: Parts, out: Parts) -> None:
    """Kernel transform: two taps -> values at the five points."""
    out[0].copy_(w[0])
    torch.add(w[0], w[1], out=out[1])
    torch.sub(w[0], w[1], out=out[2])
    torch.add(w[0], w[1], alpha=2, out=out[3])
    out[4].copy_(w[1])


def _unexpand(u: Parts) -> list[Tensor]:
    """Adjoint of `_expand`; keeps the layout in memory."""
    first = (u[0] + u[1]).add_(u[2]).add_(u[3])
    second = (u[1] - u[2]).add_(u[3], alpha=2).add_(u[4])
    return [first, second]


def _rows(pairs: Tensor, dim: int, first: int, count: int) -> Tensor:
    """`count` rows along `dim`: first, first + 4, ..."""
    stop = first + TILE * count - TILE + 1
    return pairs[(slice(None),) * dim + (slice(first, max(stop, first), TILE),)]


def _neighbours(pairs: Tensor, dim: int, tiles: int) -> list[Tensor]:
    return [_rows(pairs, dim, offset, tiles) for offset in range(POINTS)]


def _channels_last(pixels: Tensor) -> Tensor:
    return pixels.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)


def _empty(like: Tensor, *shape: int) -> Tensor:
    """An uninitialised picture (N, C, H, W) in channels_last."""
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _chunks(
    points: Tensor, side: int, channels: int
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """Yield pictures to transform at once, and views of the memory for it, which is used again.

    points: (5, 5, N, T, 4 T C). The views: the pictures within a border of zeros, pairs of rows
    and columns of both, and points along rows, with the last dimension in parts and whole.
    """
    count, tiles = points.shape[2], side // TILE
    chunk = max(1, min(count, CHUNK // points[:, :, 0].numel()))
    padded = points.new_zeros(chunk, 2 * side + 2, 2 * side + 2, channels)
    across = points.new_empty(POINTS, chunk, side + 1, tiles, 2, 2 * channels)
    for start in range(0, count, chunk):
        now = min(chunk, count - start)
        border, half = padded[:now], across[:, :now]
        pairs = border.view(now, side + 1, 2, side + 1, 2 * channels)
        rows = half.view(POINTS, now, side + 1, tiles * 4 * channels)
        yield slice(start, start + now), border[:, 1:-1, 1:-1], pairs, half.transpose(3, 4), rows


def to_points(pixels: Tensor) -> Tensor:
    """Input transform of larger pictures (N, C, 2S, 2S) -> (25, N * T * T, 4C)."""
    count, channels, side = pixels.shape[0], pixels.shape[1], pixels.shape[2] // 2
    tiles, source = side // TILE, _channels_last(pixels)
    out = pixels.new_empty(POINTS, POINTS, count, tiles, tiles * 4 * channels)
    for chunk, inside, pairs, across, rows in _chunks(out, side, channels):
        inside.copy_(source[chunk])
        _spread(_neighbours(pairs, 3, tiles), list(across))
        _spread(_neighbours(rows, 2, tiles), list(out[:, :, chunk]))
    return out.view(POINTS**2, count * tiles**2, 4 * channels)


def from_points(points: Tensor, count: int, channels: int, side: int) -> Tensor:
    """Adjoint of `to_points`; `side` is S."""
    tiles = side // TILE
    source = points.reshape(POINTS, POINTS, count, tiles, tiles * 4 * channels)
    out = _empty(points, count, channels, 2 * side, 2 * side)
    for chunk, inside, pairs, across, rows in _chunks(source, side, channels):
        _unspread(list(source[:, :, chunk]), rows, 2)
        _unspread(list(across), pairs, 3)
        out.permute(0, 2, 3, 1)[chunk].copy_(inside)
    return out


def to_pixels(products: Tensor, count: int, side: int) -> Tensor:
    """Output transform of products (25, N * T * T, C) -> smaller pictures (N, C, S, S)."""
    tiles, channels = side // TILE, products.shape[-1]
    source = products.reshape(POINTS, POINTS, count, tiles, tiles, channels)
    down = products.new_empty(TILE, POINTS, count, tiles, tiles, channels)
    _gather(list(source), list(down))
    out = _empty(products, count, channels, side, side)
    _gather([down[:, point] for point in range(POINTS)], _columns_of_tiles(out, tiles))
    return out


def from_pixels(pixels: Tensor) -> Tensor:
    """Adjoint of `to_pixels`."""
    count, channels, side = pixels.shape[:3]
    tiles = side // TILE
    down = pixels.new_empty(TILE, POINTS, count, tiles, tiles, channels)
    points = [down[:, point] for point in range(POINTS)]
    channels_last = pixels.contiguous(memory_format=torch.channels_last)
    _ungather(_columns_of_tiles(channels_last, tiles), points)
    out = pixels.new_empty(POINTS, POINTS, count, tiles, tiles, channels)
    _ungather(list(down), list(out))
    return out.view(POINTS**2, count * tiles**2, channels)


def _columns_of_tiles(pixels: Tensor, tiles: int) -> list[Tensor]:
    """The four columns of all tiles of channels_last pictures: (4 rows, N, T, T, C) each."""
    count, channels = pixels.shape[:2]
    inside = pixels.permute(0, 2, 3, 1).view(count, tiles, TILE, tiles, TILE, channels)
    return [inside[:, :, :, :, column].permute(2, 0, 1, 3, 4) for column in range(TILE)]


def to_factors(weight: Tensor) -> Tensor:
    """Kernel transform of weights (C', C, 4, 4) -> (25, C', 4C)."""
    out_channels, in_channels = weight.shape[:2]
    taps = _channels_last(weight).view(out_channels, 2, 2, 2, 2 * in_channels)
    down = weight.new_empty(POINTS, out_channels, 2, 2, 2 * in_channels)
    _expand([taps[:, 0], taps[:, 1]], list(down))
    out = weight.new_empty(POINTS, POINTS, out_channels, 2, 2 * in_channels)
    _expand([down[:, :, :, 0], down[:, :, :, 1]], [out[:, point] for point in range(POINTS)])
    return out.view(POINTS**2, out_channels, 4 * in_channels)


def from_factors(factors: Tensor, in_channels: int) -> Tensor:
    """Adjoint of `to_factors`."""
    out_channels = factors.shape[1]
    weight = factors.new_empty(out_channels, 2, 2, 2, 2, in_channels)
    source = factors.view(POINTS, POINTS, out_channels, 4 * in_channels)
    for row, down in enumerate(_unexpand(list(source))):
        for column, taps in enumerate(_unexpand(list(down))):
            weight[:, row, :, column].copy_(taps.view(out_channels, 2, 2, in_channels))
    return weight.view(out_channels, 4, 4, in_channels).permute(0, 3, 1, 2)


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
        return cast(Tensor, _LeakyReLUFunction.apply(hidden, self.negative_slope))


def _leaky_relu(hidden: Tensor, slope: float) -> Tensor:
    return leaky_relu(hidden, slope) if slope else torch.relu(hidden)  # 0 times inf is NaN
