"""Plain convolutions, resampled by simple filters: pictures free of checkerboards.

Odena et al. 2016 (Deconvolution and Checkerboard Artifacts): a transposed convolution treats
pixels of even and odd coordinates differently, which shows as a pattern of period 2. Here the
generator repeats pixels and then convolves with 3x3. The discriminator convolves with 3x3 and
then averages 2x2 pixels; a strided convolution would put the same pattern into its gradient, which
is what the generator learns from.

Each resolution has `blocks` convolutions, one after the other: more than a few need a norm, or
their signal dies out; the family resnet doesn't have that trouble.
"""

from torch import Generator as Random
from torch import nn

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


def _layer(
    inner: int, outer: int, kind: Norm, activated: Activation, gain: float
) -> list[nn.Module]:
    return [
        Convolution(inner, outer, gain, bias=has_bias(kind)),
        *norm(kind, outer),
        activation(activated),
    ]


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised."""
    channels = widths(params.width, stages(size)[1], params.widest)[::-1]
    gain = GAINS[params.activation]
    inner, layers = channels[0], list[nn.Module]()
    for outer in channels[1:]:
        layers.append(nn.Upsample(scale_factor=2))
        for _ in range(params.blocks):
            layers += _layer(inner, outer, params.norm, params.activation, gain)
            inner = outer
    layers.append(nn.Upsample(scale_factor=2))
    for _ in range(params.blocks - 1):
        layers += _layer(inner, inner, params.norm, params.activation, gain)
    layers.append(Convolution(inner, 3, gain=1.0))
    return LayeredGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, norms: DiscriminatorNorms, size: int
) -> Discriminator:
    """The discriminator, not yet initialised."""
    channels = widths(params.width, stages(size)[1], params.widest)
    inner, layers = 3, list[nn.Module]()
    for outer in channels:
        for _ in range(params.blocks):
            kind = norms.norm if layers or norms.first_norm else "none"
            gain = GAINS[params.activation] if layers else 1.0
            layers += _layer(inner, outer, kind, params.activation, gain)
            inner = outer
        layers.append(nn.AvgPool2d(2))
    return LayeredDiscriminator(norms, size, channels[-1], layers)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights after He et al. 2015 (arXiv:1502.01852), in place; norms' gains are 1."""
    draw_weights(network, random, he_deviation)
