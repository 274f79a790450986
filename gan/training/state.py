"""All that must survive for a training to go on as if nothing had happened, and how it begins."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from gan.devices import Compute
from gan.models.build import build_discriminator, build_generator, initialise
from gan.models.interfaces import Discriminator, DiscriminatorNorms, Generator
from gan.params.model import ModelParams
from gan.params.train import TrainParams
from gan.training.optimisers import build_optimiser

NOWHERE = -1


@dataclass
class TrainState:
    """Networks, optimisers and every number that the next step depends on."""

    generator: Generator
    discriminator: Discriminator
    averaged: Generator
    generator_optimiser: Optimizer
    discriminator_optimiser: Optimizer
    generator_scaler: GradScaler
    discriminator_scaler: GradScaler
    strength: Tensor
    """Of the augmentation, 0-d."""
    broken_at: Tensor
    """The first step since the last look at it whose loss was not finite, else NOWHERE; 0-d."""
    overfitting: Tensor
    """Sum of the discriminator's overfitting since the strength was adapted, 0-d."""
    overfitting_steps: int = 0
    step: int = 0
    window: dict[str, Tensor] = field(default_factory=dict)
    """Sums of what was measured since the last log."""
    window_counts: dict[str, int | Tensor] = field(default_factory=dict)
    rate_scale: float = 1.0
    """What a training that diverged multiplies its learning rates with."""
    retries: int = 0
    best_diversity: float = 0.0
    poor_grids: int = 0
    """Grids in a row that were much less diverse than the best."""

    @property
    def device(self) -> torch.device:
        return self.strength.device

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only."""
        return {
            name: part.state_dict() if hasattr(part, "state_dict") else part
            for name, part in vars(self).items()
        }

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Put a saved state in place, on this state's own device."""
        device = self.device
        for name, part in vars(self).items():
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(content[name])
            else:
                setattr(self, name, _on(device, content[name]))


def _on(device: torch.device, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _on(device, each) for key, each in value.items()}
    return value


def norms(train: TrainParams) -> DiscriminatorNorms:
    """What the recipe decides about the discriminator's layers."""
    recipe = train.recipe
    return DiscriminatorNorms(
        recipe.discriminator_norm, recipe.discriminator_first_norm, recipe.spectral_norm
    )


def build_networks(
    model: ModelParams, size: int, train: TrainParams
) -> tuple[Generator, Discriminator]:
    """Fresh networks on the CPU, a function of the seed; GanError for params that do not fit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)  # spectral norm draws from the global generator
        generator = build_generator(model, size)
        discriminator = build_discriminator(model, norms(train), size)
    random = torch.Generator().manual_seed(train.seed)
    initialise(generator, model.generator, random)
    initialise(discriminator, model.discriminator, random)
    return generator, discriminator


def build_state(model: ModelParams, size: int, train: TrainParams, compute: Compute) -> TrainState:
    """Networks and optimisers at the start of a training, a function of params."""
    generator, discriminator = build_networks(model, size, train)
    for network in (generator, discriminator):
        _place(network, compute)
    averaged = copy.deepcopy(generator).eval().requires_grad_(False)
    if train.compile:
        _compile(generator, discriminator, train)
    device, recipe = compute.device, train.recipe
    return TrainState(
        generator,
        discriminator,
        averaged,
        build_optimiser(generator, recipe.generator, device),
        build_optimiser(discriminator, recipe.discriminator, device),
        compute.scaler(),
        compute.scaler(),
        torch.tensor(train.augment.strength, device=device),
        torch.tensor(NOWHERE, device=device),
        torch.zeros((), dtype=compute.dtype, device=device),
    )


def _place(network: nn.Module, compute: Compute) -> None:
    network.to(device=compute.device, dtype=compute.dtype)
    network.to(memory_format=torch.channels_last)


def _compile(generator: Generator, discriminator: Discriminator, train: TrainParams) -> None:
    generator.compile(dynamic=False)
    if not train.recipe.penalties.wanted:  # what is compiled can't be differentiated twice
        discriminator.compile(dynamic=False)
