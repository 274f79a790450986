"""DCGAN (Radford et al. 2015, arXiv:1511.06434): one layer a resolution.

The projected latents are doubled by transposed convolutions; the discriminator is the mirror
image, with strided convolutions. Kernels are 4x4: an even overlap of strides of 2.
"""

from itertools import pairwise

from torch import Generator as Random
from torch import nn

from gan.errors import GanError
from gan.models.fast import Doubling, Halving
from gan.models.interfaces import Discriminator, DiscriminatorNorms, Generator, stages, widths
from gan.models.layers import (
    LayeredDiscriminator,
    LayeredGenerator,
    activation,
    draw_weights,
    has_bias,
    norm,
)
from gan.params.model import DiscriminatorParams, GeneratorParams, NetworkParams


def _check(params: NetworkParams, network: str) -> None:
    if params.blocks != 1:
        raise GanError(
            f"model.{network}.blocks = {params.blocks}: family dcgan has one layer a resolution;"
            " use upsample or resnet"
        )


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised; GanError if blocks is not 1."""
    _check(params, "generator")
    channels = widths(params.width, stages(size)[1], params.widest)[::-1]
    layers: list[nn.Module] = []
    for inner, outer in pairwise(channels):
        layers += [
            Doubling(inner, outer, has_bias(params.norm)),
            *norm(params.norm, outer),
            activation(params.activation),
        ]
    layers.append(Doubling(channels[-1], 3))
    return LayeredGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, norms: DiscriminatorNorms, size: int
) -> Discriminator:
    """The discriminator, not yet initialised; GanError if blocks is not 1.

    Without first_norm as in the paper: a norm would throw the picture's brightness away.
    """
    _check(params, "discriminator")
    channels = widths(params.width, stages(size)[1], params.widest)
    layers: list[nn.Module] = []
    for outer, inner in pairwise([3, *channels]):
        kind = norms.norm if layers or norms.first_norm else "none"
        layers += [
            Halving(outer, inner, has_bias(kind)),
            *norm(kind, inner),
            activation(params.activation),
        ]
    return LayeredDiscriminator(norms, size, channels[-1], layers)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights from N(0, 0.02) and norms' gains from N(1, 0.02), in place (the paper)."""
    draw_weights(network, random, lambda _: 0.02, spread_of_gains=0.02)
