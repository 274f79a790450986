"""State of a training: all that must survive for it to resume exactly, how it begins, and the
schedule of its learning rates."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gan.devices import Compute
from gan.models.interfaces import (
    Discriminator,
    Generator,
    build_discriminator,
    build_generator,
    initialise,
)
from gan.params.model import ModelParams
from gan.params.train import OptimiserParams, ScheduleParams, TrainParams

NEVER = -1

PARTS = (
    "generator",
    "discriminator",
    "averaged",
    "generator_optimiser",
    "discriminator_optimiser",
    "generator_scaler",
    "discriminator_scaler",
)
"""Parts of a state whose own `state_dict` a checkpoint holds, by name."""

VALUES = {
    "strength": "augment_strength",
    "broken_at": "first_nonfinite_step",
    "overfitting": "overfitting",
    "overfitting_steps": "overfitting_steps",
    "step": "step",
    "window": "metric_sums",
    "window_counts": "metric_counts",
    "rate_scale": "learning_rate_scale",
    "retries": "retries",
    "best_diversity": "best_diversity",
    "poor_grids": "poor_grids",
}
"""Keys of a checkpoint's other values, and the attributes that they are stored from."""

CLASSES: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
FUSED = {"adam", "adamw", "sgd"}
FUSED_ON = {"cpu", "cuda", "mps"}
"""Devices with a fused kernel; elsewhere torch chooses between `foreach` and a loop."""


@dataclass(frozen=True)
class Learner:
    """One of the two networks with its optimiser and fp16's gradient scaler."""

    name: str
    network: nn.Module
    optimiser: Optimizer
    scaler: GradScaler


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
    augment_strength: Tensor
    """Probability of each augmentation, 0-d."""
    first_nonfinite_step: Tensor
    """First step whose loss was not finite since this was last checked, else NEVER; 0-d."""
    overfitting: Tensor
    """Sum of the discriminator's overfitting since the strength was adapted, 0-d."""
    overfitting_steps: int = 0
    step: int = 0
    metric_sums: dict[str, Tensor] = field(default_factory=dict)
    """Sums of each metric since the last log."""
    metric_counts: dict[str, int | Tensor] = field(default_factory=dict)
    """Number of summands of each."""
    learning_rate_scale: float = 1.0
    """Factor on the learning rates, lowered after a divergence."""
    retries: int = 0
    best_diversity: float = 0.0
    poor_grids: int = 0
    """Grids in a row that were much less diverse than the best."""

    @property
    def learners(self) -> tuple[Learner, Learner]:
        """The generator and the discriminator, each with what trains it."""
        discriminator, optimiser = self.discriminator, self.discriminator_optimiser
        return (
            Learner("generator", self.generator, self.generator_optimiser, self.generator_scaler),
            Learner("discriminator", discriminator, optimiser, self.discriminator_scaler),
        )

    def state_dict(self) -> dict[str, Any]:
        """Content of a checkpoint: tensors and plain values only."""
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        return parts | {key: getattr(self, attribute) for key, attribute in VALUES.items()}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore a saved state onto this state's device."""
        device = self.augment_strength.device
        for name in PARTS:
            getattr(self, name).load_state_dict(content[name])
        for key, attribute in VALUES.items():
            setattr(self, attribute, _move_to(device, content[key]))


def _move_to(device: torch.device, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _move_to(device, each) for key, each in value.items()}
    return value


def build_optimiser(
    network: nn.Module, params: OptimiserParams, device: torch.device
) -> Optimizer:
    """Build the optimiser of a network's parameters on `device`, at the full learning rate."""
    arguments: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in params.arguments.items()
    }
    if params.optimiser in FUSED and device.type in FUSED_ON:
        arguments["fused"] = True
    create: Any = CLASSES[params.optimiser]
    optimiser: Optimizer = create(network.parameters(), lr=params.learning_rate, **arguments)
    return optimiser


def learning_rate_at(params: OptimiserParams, images_seen: int, length: int) -> float:
    """Learning rate of the step at whose end `images_seen` of `length` images have been seen.

    The end of a step counts, so that the first step of a warm-up changes the weights.
    """
    schedule = params.schedule
    warm_up = min(1.0, images_seen / schedule.warm_up) if schedule.warm_up else 1.0
    return params.learning_rate * warm_up * _decay(schedule, images_seen / length)


def _decay(schedule: ScheduleParams, share: float) -> float:
    """Factor from 1 down to `floor`, after a share of the training; the last step may exceed it;
    the cosine as in Loshchilov and Hutter 2017, equation 5."""
    if schedule.shape == "constant":
        return 1.0
    passed = min(1.0, max(0.0, (share - schedule.hold) / (1 - schedule.hold)))
    left = 1 - passed if schedule.shape == "linear" else (1 + math.cos(math.pi * passed)) / 2
    return schedule.floor + (1 - schedule.floor) * left


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on; as a plain float it needs no device access."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def build_networks(
    model: ModelParams, size: int, train: TrainParams
) -> tuple[Generator, Discriminator]:
    """Build networks on the CPU, a function of the seed; GanError for params that do not fit."""
    generator = build_generator(model, size)
    discriminator = build_discriminator(model, train.recipe, size)
    random = torch.Generator().manual_seed(train.seed)
    initialise(generator, model.generator, random)
    initialise(discriminator, model.discriminator, random)
    return generator, discriminator


def build_state(model: ModelParams, size: int, train: TrainParams, compute: Compute) -> TrainState:
    """Build networks and optimisers for the start of a training, a function of params."""
    device, recipe = compute.device, train.recipe
    generator, discriminator = build_networks(model, size, train)
    for network in (generator, discriminator):
        network.to(device=device, dtype=compute.dtype)
        network.to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(generator).eval().requires_grad_(False)
    if train.compile:
        generator.compile(dynamic=False)
        if not recipe.penalties.enabled:  # torch.compile has no double backward
            discriminator.compile(dynamic=False)
    return TrainState(
        generator,
        discriminator,
        averaged,
        build_optimiser(generator, recipe.generator, device),
        build_optimiser(discriminator, recipe.discriminator, device),
        compute.scaler(),
        compute.scaler(),
        torch.tensor(train.augment.strength, device=device),
        torch.tensor(NEVER, device=device),
        torch.zeros((), dtype=compute.dtype, device=device),
    )
