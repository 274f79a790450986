"""Interface of the generator and the discriminator, and their building from params.

A module of a family has build_generator(params, latent_size, size), build_discriminator(params,
recipe, size), which raise GanError for params that the family can't do, and initialise(network,
random), which draws the weights of either network anew, in place, from `random` alone.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Generator as Random
from torch import Tensor, nn

from gan.models.registry import FAMILIES
from gan.params.model import DiscriminatorParams, GeneratorParams, ModelParams, NetworkParams
from gan.params.train import RecipeParams
from gan.randomness import normal


class Generator(nn.Module):
    """Latents (N, latent_size) -> pixels (N, 3, size, size), in [-1, 1] after a tanh.

    The first layer, `project`, is linear; `draw` makes the pixels of its outputs, and of the
    latents, which may modulate later layers.
    """

    project_mean: Tensor
    """Mean of the first layer's outputs."""

    def __init__(self, latent_size: int, size: int, project: nn.Linear) -> None:
        super().__init__()
        self.latent_size, self.size, self.project = latent_size, size, project
        self.register_buffer("project_mean", torch.zeros(project.out_features))

    def forward(self, latents: Tensor, truncation: float = 1.0) -> Tensor:
        """Make pixels of latents; `truncation` below 1: more typical, less varied, 0: all equal.

        The outputs of the first layer are moved to their mean (the truncation trick of Karras et
        al. 2019, arXiv:1812.04948, appendix B). Latents for later layers are moved to 0, their own
        mean.
        """
        latents = self.scale(latents)
        hidden = self.project(latents)
        if truncation != 1:
            hidden, latents = self.project_mean.lerp(hidden, truncation), latents * truncation
        return self.draw(hidden, latents)

    def scale(self, latents: Tensor) -> Tensor:
        """Scale latents for all layers."""
        return latents

    def draw(self, hidden: Tensor, latents: Tensor) -> Tensor:
        """Make pixels of the first layer's outputs and of scaled latents."""
        raise NotImplementedError

    @torch.no_grad()
    def measure_mean(self) -> None:
        """Set the mean of the first layer's outputs, over 10,000 fixed latents."""
        latents = normal(0, "truncation", torch.arange(10_000), self.latent_size)
        # the layer is linear, so that this is the mean of its outputs
        mean = self.project(self.scale(latents.to(self.project_mean)).mean(0))
        self.project_mean.copy_(mean)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # not in checkpoints before format 4: over endlessly many latents it is the bias
        bias = state_dict.get(f"{prefix}project.bias", torch.zeros_like(self.project_mean))
        state_dict.setdefault(f"{prefix}project_mean", bias)
        super()._load_from_state_dict(state_dict, prefix, *rest)


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
