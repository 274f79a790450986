"""Winograd's minimal filtering for 4x4 kernels of stride 2: the transforms around the product.

A 4x4 kernel of stride 2 is a 2x2 kernel of stride 1 over pairs of rows and columns. Winograd's
minimal filtering (Lavin & Gray 2015, arXiv:1509.09308) makes 4x4 outputs of such a kernel from 25
products instead of 64, at the points 0, 1, -1, 2 and infinity. All but one batched matrix product
are linear maps that add and subtract. They are in this module, each with its adjoint, so that
derivatives of any order exist. Results differ from torch's own in rounding.

S is the side of the smaller picture, T = S / 4 the number of its tiles along a side, and 25 the
number of points of a transformed tile.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

TILE, POINTS = 4, 5
CHUNK = 1 << 19
"""Numbers transformed at once: as many as a core's own cache holds."""

Parts = Sequence[Tensor]


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
