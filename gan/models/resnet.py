"""Residual networks: SNGAN's (Miyato et al. 2018, arXiv:1802.05957, appendix B.4), without need
of a norm as in R3GAN (Huang et al. 2024, arXiv:2501.05441).

A block adds to its input what two 3x3 convolutions make of it, each after norm and activation.
Each resolution but the projection's 4x4 or 6x6 has `blocks` of them, the one that resamples
included: it repeats or averages pixels, in the shortcut too, between its convolutions, so that one
of them works at the lower resolution with the channels of both, and the other at the higher one.

Weights are drawn after He et al. 2015, and a block's last ones divided by the root of the number
of blocks: so the mean square of the sum grows by less than e, however many there are (Fixup,
Zhang et al. 2019, arXiv:1901.09321). Fixup and R3GAN start with zeros there; but zeros have no
spectral norm, and stop the gradient of the block's other layer in the first step.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Generator as Random
from torch import Tensor, nn

from gan.models.interfaces import Discriminator, DiscriminatorNorms, Generator, stages, widths
from gan.models.layers import (
    GAINS,
    Convolution,
    LayeredDiscriminator,
    LayeredGenerator,
    activation,
    draw_weights,
    has_bias,
    he_deviation,
    norm,
)
from gan.params.model import Activation, DiscriminatorParams, GeneratorParams, Norm


class Residual(nn.Module):
    """The sum of a shortcut and a branch."""

    def __init__(self, shortcut: list[nn.Module], branch: list[nn.Module]) -> None:
        super().__init__()
        self.shortcut, self.branch = nn.Sequential(*shortcut), nn.Sequential(*branch)

    def forward(self, hidden: Tensor) -> Tensor:
        total: Tensor = self.shortcut(hidden) + self.branch(hidden)
        return total


@dataclass(frozen=True)
class _Blocks:
    """What the blocks of one network have in common, and how many there are."""

    norm: Norm
    activation: Activation
    count: int

    def before(self, channels: int, kind: Norm | None = None) -> list[nn.Module]:
        """What comes before a convolution: norm and activation."""
        return [*norm(kind or self.norm, channels), activation(self.activation)]

    def convolution(self, inner: int, outer: int) -> Convolution:
        """The first one of a block."""
        return Convolution(inner, outer, GAINS[self.activation], bias=has_bias(self.norm))

    def last(self, inner: int, outer: int) -> Convolution:
        return Convolution(inner, outer, GAINS[self.activation] / math.sqrt(self.count))

    def plain(self, channels: int, first: Norm | None = None) -> Residual:
        """At one resolution; `first` replaces the norm of its input."""
        branch = [
            *self.before(channels, first),
            self.convolution(channels, channels),
            *self.before(channels),
            self.last(channels, channels),
        ]
        return Residual([], branch)

    def up(self, inner: int, outer: int) -> Residual:
        """To twice the resolution."""
        branch = [
            *self.before(inner),
            self.convolution(inner, outer),
            *self.before(outer),
            nn.Upsample(scale_factor=2),
            self.last(outer, outer),
        ]
        return Residual([*_change(inner, outer), nn.Upsample(scale_factor=2)], branch)

    def down(self, inner: int, outer: int, first: Norm | None = None) -> Residual:
        """To half the resolution; `first` replaces the norm of its input."""
        branch = [
            *self.before(inner, first),
            self.convolution(inner, inner),
            *self.before(inner),
            nn.AvgPool2d(2),
            self.last(inner, outer),
        ]
        return Residual([nn.AvgPool2d(2), *_change(inner, outer)], branch)


def _change(inner: int, outer: int) -> list[nn.Module]:
    """A shortcut's channels, changed at its lower resolution: there it costs a quarter."""
    return [] if inner == outer else [Convolution(inner, outer, gain=1.0, side=1, bias=False)]


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised."""
    doublings = stages(size)[1]
    channels = widths(params.width, doublings, params.widest)[::-1]
    blocks = _Blocks(params.norm, params.activation, doublings * params.blocks)
    layers: list[nn.Module] = []
    for inner, outer in pairwise([*channels, channels[-1]]):
        layers.append(blocks.up(inner, outer))
        layers += [blocks.plain(outer) for _ in range(params.blocks - 1)]
    layers += [*blocks.before(channels[-1]), Convolution(channels[-1], 3, gain=1.0)]
    return LayeredGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, norms: DiscriminatorNorms, size: int
) -> Discriminator:
    """The discriminator, not yet initialised; first_norm is of the pixels' convolution."""
    doublings = stages(size)[1]
    channels = widths(params.width, doublings, params.widest)
    blocks = _Blocks(norms.norm, params.activation, doublings * params.blocks)
    first: Norm = norms.norm if norms.first_norm else "none"
    layers: list[nn.Module] = [Convolution(3, channels[0], gain=1.0)]
    for inner, outer in pairwise([channels[0], *channels]):
        for _ in range(params.blocks - 1):
            layers.append(blocks.plain(inner, first))
            first = norms.norm
        layers.append(blocks.down(inner, outer, first))
        first = norms.norm
    layers += blocks.before(channels[-1])
    return LayeredDiscriminator(norms, size, channels[-1], layers)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights as described above, in place; norms' gains are 1."""
    draw_weights(network, random, he_deviation)
