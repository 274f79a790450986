"""DCGAN (Radford et al. 2015, arXiv:1511.06434): one layer a resolution.

The generator doubles the projected latents by transposed convolutions; the discriminator halves
the picture by strided convolutions. Kernels are 4x4, a multiple of the stride of 2, so that every
pixel has as many inputs.
"""

from itertools import pairwise

from torch import Generator as Random
from torch import nn

from gan.models.interfaces import Discriminator, Generator, channels_by_resolution
from gan.models.layers import (
    LayeredDiscriminator,
    LayeredGenerator,
    activation,
    draw_weights,
    has_bias,
    modulation,
    norm,
)
from gan.params.model import DiscriminatorParams, GeneratorParams
from gan.params.train import RecipeParams


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised."""
    channels = channels_by_resolution(params, size)[::-1]
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise(channels):
        layers += [
            nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=has_bias(params.norm)),
            *norm(params.norm, out_channels),
            *modulation(params, latent_size, out_channels),
            activation(params.activation),
        ]
    layers.append(nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1))
    return LayeredGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, recipe: RecipeParams, size: int
) -> Discriminator:
    """The discriminator, not yet initialised.

    The paper has no first_norm: a norm right after the pixels would lose their brightness.
    """
    channels = channels_by_resolution(params, size)
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise([3, *channels]):
        normed = bool(layers) or recipe.discriminator_first_norm
        norm_kind = recipe.discriminator_norm if normed else "none"
        layers += [
            nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=has_bias(norm_kind)),
            *norm(norm_kind, out_channels),
            activation(params.activation, recipe.penalties.enabled),
        ]
    return LayeredDiscriminator(recipe, size, channels[-1], layers)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights from N(0, 0.02) and norms' gains from N(1, 0.02), in place (the paper)."""
    draw_weights(network, random, lambda _: 0.02, spread_of_gains=0.02)
