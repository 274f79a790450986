"""DCGAN (Radford et al. 2015, arXiv:1511.06434) for 32, 48, 64, 96 and 128 pixels.

A latent is projected to 4x4 or 6x6 and doubled by transposed convolutions; the discriminator is
the mirror image and ends in one linear score, "more real" upwards, with no sigmoid.
"""

from itertools import pairwise

from torch import Generator as Random
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from gan.params import ModelParams, Norm

MAX_WIDENING = 16
"""The widest layer has this many times the channels of the narrowest."""


def stages(size: int) -> tuple[int, int]:
    """(first side, doublings) for a picture of `size` pixels: 64 -> (4, 4), 96 -> (6, 4)."""
    for first in (4, 6):
        doublings = (size // first).bit_length() - 1
        if doublings > 0 and first << doublings == size:
            return first, doublings
    raise ValueError(f"size {size} is not 4 or 6 times a power of two")


def _widths(width: int, doublings: int) -> list[int]:
    """Channels from the picture's side inwards."""
    return [width * min(2**i, MAX_WIDENING) for i in range(doublings)]


class Generator(nn.Module):
    """Latents (N, latent_size) -> pixels (N, 3, size, size) in [-1, 1]."""

    def __init__(self, latent_size: int, size: int, width: int) -> None:
        super().__init__()
        self.latent_size, self.size = latent_size, size
        self.first, doublings = stages(size)
        widths = _widths(width, doublings)[::-1]
        self.project = nn.Linear(latent_size, widths[0] * self.first**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for inner, outer in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False),
                nn.BatchNorm2d(outer),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.project(latents).unflatten(1, (-1, self.first, self.first))
        pixels: Tensor = self.layers(hidden)
        return pixels


def _norm(kind: Norm, channels: int) -> list[nn.Module]:
    match kind:
        case "batch":
            return [nn.BatchNorm2d(channels)]
        case "layer":  # one group over channels and space: layer norm for pictures
            return [nn.GroupNorm(1, channels)]
        case "instance":
            return [nn.InstanceNorm2d(channels, affine=True)]
        case "none":
            return []


class Discriminator(nn.Module):
    """Pixels (N, 3, size, size) in [-1, 1] -> scores (N,), unbounded, higher is more real."""

    def __init__(self, size: int, width: int, norm: Norm, spectral_norm: bool) -> None:
        super().__init__()
        self.mixes_samples = norm == "batch"
        """Whether a sample's score depends on its batch."""
        first, doublings = stages(size)
        widths = _widths(width, doublings)
        layers: list[nn.Module] = []
        for index, (outer, inner) in enumerate(pairwise([3, *widths])):
            layers.append(nn.Conv2d(outer, inner, 4, 2, 1))
            # none on the first layer: it would throw the picture's brightness away (the paper)
            layers += _norm(norm, inner) if index else []
            layers.append(nn.LeakyReLU(0.2))
        layers += [nn.Flatten(), nn.Linear(widths[-1] * first**2, 1)]
        if spectral_norm:
            layers = [
                with_spectral_norm(layer) if isinstance(layer, nn.Conv2d | nn.Linear) else layer
                for layer in layers
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        scores: Tensor = self.layers(pixels)
        return scores.squeeze(1)


def initialise(network: nn.Module, random: Random) -> None:
    """Draw weights from N(0, 0.02) and norms' gains from N(1, 0.02), in place (the paper)."""
    norms = nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = getattr(module, "parametrizations", None)
            tensor = weight.weight.original if weight is not None else module.weight
            nn.init.normal_(tensor, 0.0, 0.02, generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, norms) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, 0.02, generator=random)


def build_generator(model: ModelParams, size: int) -> Generator:
    """The generator that params ask for, not yet initialised."""
    return Generator(model.latent_size, size, model.generator_width)
