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

from gan.models.interfaces import Discriminator, Generator, channels_by_resolution
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
from gan.params.train import RecipeParams


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

    def block(
        self,
        in_channels: int,
        out_channels: int,
        resample: nn.Module | None = None,
        first_norm: Norm | None = None,
    ) -> Residual:
        """A block that keeps the resolution, or `resample` changes it.

        At the lower resolution a convolution costs a quarter, so channels change there.
        first_norm: replaces the norm of the block's input.
        """
        upwards, gain = isinstance(resample, nn.Upsample), GAINS[self.activation]
        hidden = out_channels if upwards else in_channels
        resampling = [resample] if resample else []
        shortcut: list[nn.Module] = []
        if in_channels != out_channels:
            shortcut.append(Convolution(in_channels, out_channels, gain=1.0, side=1, bias=False))
        branch = [
            *self.norm_and_activation(in_channels, first_norm),
            Convolution(in_channels, hidden, gain, bias=has_bias(self.norm)),
            *self.norm_and_activation(hidden),
            *resampling,
            Convolution(hidden, out_channels, gain / math.sqrt(self.count)),
        ]
        return Residual(shortcut + resampling if upwards else resampling + shortcut, branch)


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised."""
    channels = channels_by_resolution(params, size)[::-1]
    blocks = _Blocks(params.norm, params.activation, len(channels) * params.blocks)
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise([*channels, channels[-1]]):
        layers.append(blocks.block(in_channels, out_channels, nn.Upsample(scale_factor=2)))
        layers += [blocks.block(out_channels, out_channels) for _ in range(params.blocks - 1)]
    layers += [*blocks.norm_and_activation(channels[-1]), Convolution(channels[-1], 3, gain=1.0)]
    return LayeredGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, recipe: RecipeParams, size: int
) -> Discriminator:
    """The discriminator, not yet initialised; first_norm follows the convolution of the pixels."""
    channels = channels_by_resolution(params, size)
    blocks = _Blocks(recipe.discriminator_norm, params.activation, len(channels) * params.blocks)
    layers: list[nn.Module] = [Convolution(3, channels[0], gain=1.0)]
    for in_channels, out_channels in pairwise([channels[0], *channels]):
        for last in [False] * (params.blocks - 1) + [True]:
            normed = len(layers) > 1 or recipe.discriminator_first_norm
            first_norm = recipe.discriminator_norm if normed else "none"
            channels_after = out_channels if last else in_channels
            resample = nn.AvgPool2d(2) if last else None
            layers.append(blocks.block(in_channels, channels_after, resample, first_norm))
    layers += blocks.norm_and_activation(channels[-1])
    return LayeredDiscriminator(recipe, size, channels[-1], layers)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights as described above, in place; norms' gains are 1."""
    draw_weights(network, random, he_deviation)
