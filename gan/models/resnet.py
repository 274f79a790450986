"""Residual networks as in SNGAN (Miyato et al. 2018, arXiv:1802.05957, appendix B.4), which also
train without a norm, as R3GAN does (Huang et al. 2024, arXiv:2501.05441).

A block is the sum of a shortcut and a branch of two 3x3 convolutions, each after norm and
activation. Each resolution above the projected 4x4 or 6x6 maps has `blocks` blocks. The first or
last of them resamples: it repeats or averages pixels in the shortcut and between the convolutions
of the branch, so that one convolution works at the lower and one at the higher resolution.

Weights are drawn after He et al. 2015; those of a block's last convolution are divided by the root
of the number of blocks, so that the mean square of the sum grows by less than e, however many
blocks there are (Fixup, Zhang et al. 2019, arXiv:1901.09321). Fixup and R3GAN begin with zeros
there; but zeros have no spectral norm, and stop the gradient of the block's other convolution in
the first step.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Generator as Random
from torch import Tensor, nn

from gan.models.interfaces import (
    Discriminator,
    DiscriminatorNorms,
    Generator,
    channels_by_resolution,
)
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
    """The residual blocks of one network, of which there are `count`."""

    norm: Norm
    activation: Activation
    count: int

    def norm_and_activation(self, channels: int, norm_kind: Norm | None = None) -> list[nn.Module]:
        """The layers before a convolution; `norm_kind` replaces the network's norm."""
        return [*norm(norm_kind or self.norm, channels), activation(self.activation)]

    def first_convolution(self, in_channels: int, out_channels: int) -> Convolution:
        gain = GAINS[self.activation]
        return Convolution(in_channels, out_channels, gain, bias=has_bias(self.norm))

    def last_convolution(self, in_channels: int, out_channels: int) -> Convolution:
        gain = GAINS[self.activation] / math.sqrt(self.count)
        return Convolution(in_channels, out_channels, gain)

    def keep(self, channels: int, first_norm: Norm | None = None) -> Residual:
        """A block that keeps the resolution; `first_norm` replaces the norm of its input."""
        branch = [
            *self.norm_and_activation(channels, first_norm),
            self.first_convolution(channels, channels),
            *self.norm_and_activation(channels),
            self.last_convolution(channels, channels),
        ]
        return Residual([], branch)

    def upsample(self, in_channels: int, out_channels: int) -> Residual:
        """A block that doubles the resolution."""
        branch = [
            *self.norm_and_activation(in_channels),
            self.first_convolution(in_channels, out_channels),
            *self.norm_and_activation(out_channels),
            nn.Upsample(scale_factor=2),
            self.last_convolution(out_channels, out_channels),
        ]
        shortcut = [*_change_channels(in_channels, out_channels), nn.Upsample(scale_factor=2)]
        return Residual(shortcut, branch)

    def downsample(
        self, in_channels: int, out_channels: int, first_norm: Norm | None = None
    ) -> Residual:
        """A block that halves the resolution; `first_norm` replaces the norm of its input."""
        branch = [
            *self.norm_and_activation(in_channels, first_norm),
            self.first_convolution(in_channels, in_channels),
            *self.norm_and_activation(in_channels),
            nn.AvgPool2d(2),
            self.last_convolution(in_channels, out_channels),
        ]
        return Residual([nn.AvgPool2d(2), *_change_channels(in_channels, out_channels)], branch)


def _change_channels(in_channels: int, out_channels: int) -> list[nn.Module]:
    """The shortcut's 1x1 convolution, at its lower resolution, where it costs a quarter."""
    if in_channels == out_channels:
        return []
    return [Convolution(in_channels, out_channels, gain=1.0, side=1, bias=False)]


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised."""
    channels = channels_by_resolution(params, size)[::-1]
    blocks = _Blocks(params.norm, params.activation, len(channels) * params.blocks)
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise([*channels, channels[-1]]):
        layers.append(blocks.upsample(in_channels, out_channels))
        layers += [blocks.keep(out_channels) for _ in range(params.blocks - 1)]
    layers += [*blocks.norm_and_activation(channels[-1]), Convolution(channels[-1], 3, gain=1.0)]
    return LayeredGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, norms: DiscriminatorNorms, size: int
) -> Discriminator:
    """The discriminator, not yet initialised; first_norm follows the convolution of the pixels."""
    channels = channels_by_resolution(params, size)
    blocks = _Blocks(norms.norm, params.activation, len(channels) * params.blocks)
    first_norm: Norm = norms.norm if norms.first_norm else "none"
    layers: list[nn.Module] = [Convolution(3, channels[0], gain=1.0)]
    for in_channels, out_channels in pairwise([channels[0], *channels]):
        for _ in range(params.blocks - 1):
            layers.append(blocks.keep(in_channels, first_norm))
            first_norm = norms.norm
        layers.append(blocks.downsample(in_channels, out_channels, first_norm))
        first_norm = norms.norm
    layers += blocks.norm_and_activation(channels[-1])
    return LayeredDiscriminator(norms, size, channels[-1], layers)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights as described above, in place; norms' gains are 1."""
    draw_weights(network, random, he_deviation)
