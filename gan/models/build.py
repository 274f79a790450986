"""Build networks from params."""

from importlib import import_module
from typing import cast

from torch import Generator as Random
from torch import nn

from gan.models.interfaces import Discriminator, DiscriminatorNorms, Family, Generator
from gan.models.registry import FAMILIES
from gan.params.model import DiscriminatorParams, GeneratorParams, ModelParams


def family(name: str) -> Family:
    """The module of a family."""
    return cast(Family, import_module(FAMILIES[name]))


def build_generator(model: ModelParams, size: int) -> Generator:
    """The generator that params describe, not yet initialised; GanError if they don't fit."""
    params = model.generator
    return family(params.family).build_generator(params, model.latent_size, size)


def build_discriminator(model: ModelParams, norms: DiscriminatorNorms, size: int) -> Discriminator:
    """The discriminator that params describe, not yet initialised; GanError if they don't fit."""
    params = model.discriminator
    return family(params.family).build_discriminator(params, norms, size)


def initialise(
    network: nn.Module, params: GeneratorParams | DiscriminatorParams, random: Random
) -> None:
    """Draw a network's weights as its family does, in place."""
    family(params.family).initialise(network, random)
