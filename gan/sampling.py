"""From seeds to images."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gan.models.interfaces import Generator
from gan.pixels import to_images
from gan.randomness import normal

BATCH = 16
"""Batches are always this long: another length may choose another kernel, and the last bit of a
pixel must not depend on how many others were asked for."""

FLAT = 1e-4
"""Sine of an angle so small that sums of latents are as good as arcs."""

GRID_SEEDS = range(64)
"""The avatars of every sample grid, so that grids can be compared."""

GRID_COLUMNS = 8
GRID_NAME = f"{GRID_SEEDS.start}-{GRID_SEEDS.stop - 1}"


def seed_latents(seeds: Sequence[int], latent_size: int) -> Tensor:
    """The latents of avatars by seed: (n, latent_size) float32 on the CPU."""
    return normal(0, "avatar", torch.tensor(list(seeds), dtype=torch.int64), latent_size)


def truncate_latents(latents: Tensor, truncation: float) -> Tensor:
    """Latents times `truncation` in [0, 1]: nearer to their mean, so more typical and less varied.

    The truncation trick of Karras et al. 2019 (StyleGAN, section B), with the latents' mean 0 as
    the centre, which is Kingma and Dhariwal's temperature (Glow, 2018). 1 changes nothing.
    """
    if not 0 <= truncation <= 1:
        raise ValueError(f"truncation = {truncation}: from 0 to 1")
    return latents * truncation


def interpolate_latents(begin: Tensor, end: Tensor, steps: int) -> Tensor:
    """From `begin` to `end`, both included, on the arc between them: (steps, latent_size).

    Spherical interpolation (White 2016, "Sampling Generative Networks"): the middle of a straight
    line between two latents is shorter than any that the generator has learned from.
    """
    way = torch.linspace(0, 1, steps, dtype=begin.dtype)[:, None]
    cosine = torch.nn.functional.cosine_similarity(begin, end, dim=0)
    angle = torch.acos(cosine.clamp(-1, 1))
    if float(angle.sin()) < FLAT:  # the arc is a point, or any of many
        return begin + way * (end - begin)
    return (torch.sin((1 - way) * angle) * begin + torch.sin(way * angle) * end) / torch.sin(angle)


def draw_latents(seed: int, stream: str, count: int, latent_size: int) -> Tensor:
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
