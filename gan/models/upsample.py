"""Plain 3x3 convolutions with resampling between them: pictures without checkerboards.

Odena et al. 2016 (Deconvolution and Checkerboard Artifacts): a transposed convolution treats
pixels of even and odd coordinates differently, which shows as a pattern of period 2. This
generator repeats pixels, then convolves. The discriminator convolves, then averages 2x2 pixels; a
strided convolution would put the same pattern into its gradient, which the generator learns from.

Each resolution has `blocks` convolutions, one after the other. More than a few need a norm, or the
signal vanishes on its way; the family resnet works without one.
"""

from torch import Generator as Random
from torch import nn

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


def _layer(
    in_channels: int, out_channels: int, norm_kind: Norm, activation_kind: Activation, gain: float
) -> list[nn.Module]:
    return [
        Convolution(in_channels, out_channels, gain, bias=has_bias(norm_kind)),
        *norm(norm_kind, out_channels),
        activation(activation_kind),
    ]


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised."""
    channels = channels_by_resolution(params, size)[::-1]
    gain = GAINS[params.activation]
    in_channels, layers = channels[0], list[nn.Module]()
    for out_channels in channels[1:]:
        layers.append(nn.Upsample(scale_factor=2))
        for _ in range(params.blocks):
            layers += _layer(in_channels, out_channels, params.norm, params.activation, gain)
            in_channels = out_channels
    layers.append(nn.Upsample(scale_factor=2))
    for _ in range(params.blocks - 1):
        layers += _layer(in_channels, in_channels, params.norm, params.activation, gain)
    layers.append(Convolution(in_channels, 3, gain=1.0))
    return LayeredGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, recipe: RecipeParams, size: int
) -> Discriminator:
    """The discriminator, not yet initialised."""
    channels = channels_by_resolution(params, size)
    in_channels, layers = 3, list[nn.Module]()
    for out_channels in channels:
        for _ in range(params.blocks):
            normed = bool(layers) or recipe.discriminator_first_norm
            norm_kind = recipe.discriminator_norm if normed else "none"
            gain = GAINS[params.activation] if layers else 1.0
            layers += _layer(in_channels, out_channels, norm_kind, params.activation, gain)
            in_channels = out_channels
        layers.append(nn.AvgPool2d(2))
    return LayeredDiscriminator(recipe, size, channels[-1], layers)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights after He et al. 2015 (arXiv:1502.01852), in place; norms' gains are 1."""
    draw_weights(network, random, he_deviation)
