"""DCGAN without checkerboards: enlarged maps are low-pass filtered, RGB is summed over two scales.

The generator differs from DCGAN's (Radford et al. 2015, arXiv:1511.06434) in four points. Latents
are scaled to root mean square 1 (Karras et al. 2018, arXiv:1710.10196, section 4.2). Each
transposed convolution is followed by a fixed low-pass filter before its norm (Zhang 2019,
arXiv:1904.11486). There is one stage more, so that the maps of the picture's size have `width`
channels too. RGB of these and of the maps of half the size are summed (Karras et al. 2020,
arXiv:1912.04958, section 4.1). The discriminator is DCGAN's. Weights are drawn with deviation
1 / sqrt(3 fan_in), as torch's default: under spectral norm the effective learning rate is the
rate over the norm of the weights, so that DCGAN's N(0, 0.02) would need other rates in each layer.
"""

import math
from itertools import pairwise

import torch
from torch import Generator as Random
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from gan.models import dcgan
from gan.models.interfaces import Discriminator, Generator, channels_by_resolution
from gan.models.layers import (
    LayeredGenerator,
    Modulated,
    SelfModulation,
    activation,
    apply_layers,
    draw_weights,
    has_bias,
    modulation,
    norm,
    raw_weight,
)
from gan.params.model import DiscriminatorParams, GeneratorParams
from gan.params.train import RecipeParams

MODULATION = 0.3
"""Deviation of modulations' first weights: with 1 the first pictures are too far apart."""


class LowPass(nn.Module):
    """A convolution of each channel with [1, 2, 1] x [1, 2, 1] / 16; edges are replicated."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        channels = hidden.shape[1]
        kernel = self.kernel.to(hidden.dtype).expand(channels, 1, 3, 3)  # exact also in bf16
        # autocast would pad in float32, and copy there and back
        with torch.autocast(hidden.device.type, enabled=False):
            return conv2d(pad(hidden, (1, 1, 1, 1), "replicate"), kernel, groups=channels)


class Stage(Modulated, nn.Sequential):
    """Doubles the side of maps: transposed convolution, low-pass, norm, modulation, activation."""

    def forward(self, maps: Tensor, latents: Tensor) -> Tensor:  # type: ignore[override]
        return apply_layers(self, maps, latents)


class SummedRGB(Modulated):
    """The last stage, and the sum of the RGB of its input, enlarged, and of its output."""

    def __init__(self, stage: Stage, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.stage = stage
        self.small = nn.Conv2d(in_channels, 3, 3, padding=1)
        self.large = nn.Conv2d(out_channels, 3, 3, padding=1)

    def forward(self, maps: Tensor, latents: Tensor) -> Tensor:
        small = interpolate(self.small(maps), scale_factor=2, mode="bilinear")
        large: Tensor = self.large(self.stage(maps, latents))
        return small + large


class AntialiasedGenerator(LayeredGenerator):
    """The layers after a projection of latents on the sphere."""

    def scale(self, latents: Tensor) -> Tensor:
        """Scale latents to root mean square 1."""
        return latents * (latents.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def build_generator(params: GeneratorParams, latent_size: int, size: int) -> Generator:
    """The generator, not yet initialised."""
    channels = [params.width, *channels_by_resolution(params, size)][::-1]
    *stages, last = (
        Stage(
            nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=has_bias(params.norm)),
            LowPass(),
            *norm(params.norm, out_channels),
            *modulation(params, latent_size, out_channels),
            activation(params.activation),
        )
        for in_channels, out_channels in pairwise(channels)
    )
    layers = [*stages, SummedRGB(last, *channels[-2:])]
    return AntialiasedGenerator(params, latent_size, size, channels[0], layers)


def build_discriminator(
    params: DiscriminatorParams, recipe: RecipeParams, size: int
) -> Discriminator:
    """The discriminator, DCGAN's, not yet initialised."""
    return dcgan.build_discriminator(params, recipe, size)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights with torch's default deviation, those of modulations with MODULATION of it."""
    draw_weights(network, random, _deviation)


def _deviation(layer: nn.Module) -> float:
    share = MODULATION if isinstance(layer, SelfModulation) else 1.0
    return share / math.sqrt(3 * raw_weight(layer)[0].numel())
