"""Interface of the generator and the discriminator, the same for every family of networks."""

from torch import nn

from gan.params.model import NetworkParams


class Generator(nn.Module):
    """Latents (N, latent_size) -> pixels (N, 3, size, size), in [-1, 1] after a tanh."""

    latent_size: int
    size: int


class Discriminator(nn.Module):
    """Pixels (N, 3, size, size) in [-1, 1] -> scores (N,), unbounded, higher is more real."""

    uses_batch_statistics: bool
    """Whether a sample's score depends on the rest of its batch."""


def plan_resolutions(size: int) -> tuple[int, int]:
    """Side of the smallest feature maps, and how often it doubles: 64 -> (4, 4), 96 -> (6, 4)."""
    for first in (4, 6):
        doublings = (size // first).bit_length() - 1
        if doublings > 0 and first << doublings == size:
            return first, doublings
    raise ValueError(f"size {size} is not 4 or 6 times a power of two")


def channels_by_resolution(params: NetworkParams, size: int) -> list[int]:
    """Channels from highest to lowest resolution: `width` times 1, 2, 4, ... up to `widest`."""
    return [params.width * min(2**i, params.widest) for i in range(plan_resolutions(size)[1])]
