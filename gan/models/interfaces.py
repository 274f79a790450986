"""What the rest of the library knows of the two networks, whatever family they are of."""

from dataclasses import dataclass
from typing import Protocol

from torch import Generator as Random
from torch import Tensor, nn

from gan.params.model import DiscriminatorParams, GeneratorParams, Norm


class Generator(nn.Module):
    """Latents (N, latent_size) -> pixels (N, 3, size, size), in [-1, 1] after a tanh."""

    latent_size: int
    size: int

    def forward(self, latents: Tensor) -> Tensor:
        raise NotImplementedError


class Discriminator(nn.Module):
    """Pixels (N, 3, size, size) in [-1, 1] -> scores (N,), unbounded, higher is more real."""

    mixes_samples: bool
    """Whether a sample's score depends on its batch."""

    def forward(self, pixels: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class DiscriminatorNorms:
    """What the objective decides about the discriminator's layers."""

    norm: Norm
    first_norm: bool
    spectral_norm: bool


class Family(Protocol):
    """What a module of a family offers."""

    def build_generator(self, params: GeneratorParams, latent_size: int, size: int) -> Generator:
        """The network, not yet initialised; GanError for params that the family can't do."""
        ...

    def build_discriminator(
        self, params: DiscriminatorParams, norms: DiscriminatorNorms, size: int
    ) -> Discriminator:
        """The network, not yet initialised; GanError for params that the family can't do."""
        ...

    def initialise(self, network: nn.Module, random: Random) -> None:
        """Draw the weights of either network anew, in place, from `random` alone."""
        ...


def stages(size: int) -> tuple[int, int]:
    """(first side, doublings) for a picture of `size` pixels: 64 -> (4, 4), 96 -> (6, 4)."""
    for first in (4, 6):
        doublings = (size // first).bit_length() - 1
        if doublings > 0 and first << doublings == size:
            return first, doublings
    raise ValueError(f"size {size} is not 4 or 6 times a power of two")


def widths(width: int, doublings: int, widest: int) -> list[int]:
    """Channels of each resolution from the picture's side inwards: doubled, up to `widest`."""
    return [width * min(2**i, widest) for i in range(doublings)]
