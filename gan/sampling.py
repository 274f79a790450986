"""From seeds to images."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gan.models.network import Generator
from gan.pixels import to_images
from gan.randomness import normal

BATCH = 16
"""Batches are always this long: another length may choose another kernel, and the last bit of a
pixel must not depend on how many others were asked for."""

GRID_SEEDS = range(64)
"""The avatars of every sample grid, so that grids can be compared."""

GRID_COLUMNS = 8


def seed_latents(seeds: Sequence[int], latent_size: int) -> Tensor:
    """The latents of avatars by seed: (n, latent_size) float32 on the CPU."""
    return normal(0, "avatar", torch.tensor(list(seeds), dtype=torch.int64), latent_size)


def drawn_latents(seed: int, stream: str, count: int, latent_size: int) -> Tensor:
    """The first `count` latents of a named stream: (count, latent_size) float32 on the CPU."""
    return normal(seed, stream, torch.arange(count), latent_size)


@torch.inference_mode()
def generate(generator: Generator, latents: Tensor) -> Iterator[Tensor]:
    """Yield images (at most BATCH, 3, size, size) uint8 on the CPU, in the order of `latents`.

    The generator must be in eval mode; runs in its own device, in float32.
    """
    if generator.training:
        raise ValueError("a generator in training mode would mix its samples; call eval()")
    device = next(generator.parameters()).device
    for batch in torch.split(latents, BATCH):
        padded = torch.nn.functional.pad(batch, (0, 0, 0, BATCH - len(batch)))
        yield to_images(generator(padded.to(device)))[: len(batch)].cpu()
