"""Build networks from params.

A module of a family has build_generator(params, latent_size, size), build_discriminator(params,
recipe, size), which raise GanError for params that the family can't do, and initialise(network,
random), which draws the weights of either network anew, in place, from `random` alone.
"""

from importlib import import_module
from types import ModuleType

from torch import Generator as Random
from torch import nn

from gan.models.interfaces import Discriminator, Generator
from gan.models.registry import FAMILIES
from gan.params.model import DiscriminatorParams, GeneratorParams, ModelParams
from gan.params.train import RecipeParams


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
