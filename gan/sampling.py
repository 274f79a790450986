"""Generation of images from seeds."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gan.models.interfaces import Generator
from gan.pixels import to_images
from gan.randomness import normal

BATCH = 16
"""Fixed length of a batch: another length may select another kernel, and a pixel must not depend,
to the last bit, on the number of images."""

MIN_SINE = 1e-4
"""Sine of the angle between latents below which a straight line replaces the arc."""

GRID_SEEDS = range(64)
"""Seeds of the avatars in every sample grid, so that grids can be compared."""

GRID_COLUMNS = 8
GRID_NAME = f"{GRID_SEEDS.start}-{GRID_SEEDS.stop - 1}"


def seed_latents(seeds: Sequence[int], latent_size: int) -> Tensor:
    """Latents of the avatars of these seeds: (n, latent_size) float32 on the CPU."""
    return normal(0, "avatar", torch.tensor(list(seeds), dtype=torch.int64), latent_size)


def interpolate_latents(begin: Tensor, end: Tensor, steps: int) -> Tensor:
    """Interpolate on the arc from `begin` to `end`, both included: (steps, latent_size).

    Spherical interpolation (White 2016, "Sampling Generative Networks"): the middle of a straight
    line is shorter than the latents that the generator was trained on.
    """
    share = torch.linspace(0, 1, steps, dtype=begin.dtype)[:, None]
    cosine = torch.nn.functional.cosine_similarity(begin, end, dim=0)
    angle = torch.acos(cosine.clamp(-1, 1))
    if float(angle.sin()) < MIN_SINE:  # parallel latents: the arc is a point, or not unique
        return begin + share * (end - begin)
    arc = torch.sin((1 - share) * angle) * begin + torch.sin(share * angle) * end
    return arc / torch.sin(angle)


def draw_latents(seed: int, stream: str, count: int, latent_size: int) -> Tensor:
    """Draw the first `count` latents of a stream: (count, latent_size) float32 on the CPU."""
    return normal(seed, stream, torch.arange(count), latent_size)


@torch.inference_mode()
def generate(generator: Generator, latents: Tensor, truncation: float = 1.0) -> Iterator[Tensor]:
    """Yield images (at most BATCH, 3, size, size) uint8 on the CPU, in the order of `latents`.

    truncation: from 0 to 1, see `Generator.forward`. The generator must be in eval mode; it runs
    on its own device, in float32.
    """
    if not 0 <= truncation <= 1:
        raise ValueError(f"truncation = {truncation}: must be from 0 to 1")
    if generator.training:
        raise ValueError("the generator is in training mode; call eval()")
    device = next(generator.parameters()).device
    for batch in torch.split(latents, BATCH):
        padded = torch.nn.functional.pad(batch, (0, 0, 0, BATCH - len(batch)))
        yield to_images(generator(padded.to(device), truncation))[: len(batch)].cpu()
