"""Interface of the generator and the discriminator, and their building from params.

A module of a family has build_generator(params, latent_size, size), build_discriminator(params,
recipe, size), which raise GanError for params that the family can't do, and initialise(network,
random), which draws the weights of either network anew, in place, from `random` alone.
"""

from importlib import import_module
from types import ModuleType

from torch import Generator as Random
from torch import nn

from gan.models.registry import FAMILIES
from gan.params.model import DiscriminatorParams, GeneratorParams, ModelParams, NetworkParams
from gan.params.train import RecipeParams


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


def _family(params: GeneratorParams | DiscriminatorParams) -> ModuleType:
    return import_module(FAMILIES[params.family])


def build_generator(model: ModelParams, size: int) -> Generator:
    """The generator that params describe, not yet initialised; GanError if they don't fit."""
    params = model.generator
    network: Generator = _family(params).build_generator(params, model.latent_size, size)
    return network


def build_discriminator(model: ModelParams, recipe: RecipeParams, size: int) -> Discriminator:
    """The discriminator of these params, not yet initialised; GanError if they don't fit.

    recipe: the objective's, which decides the norms.
    """
    params = model.discriminator
    network: Discriminator = _family(params).build_discriminator(params, recipe, size)
    return network


def initialise(
    network: nn.Module, params: GeneratorParams | DiscriminatorParams, random: Random
) -> None:
    """Draw a network's weights as its family does, in place."""
    _family(params).initialise(network, random)
