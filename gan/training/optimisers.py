"""torch's optimisers by params.yaml, and the schedule of their learning rate."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gan.params.optimiser import OptimiserParams, ScheduleParams

CLASSES: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
FUSED = {"adam", "adamw", "sgd"}
FUSED_ON = {"cpu", "cuda", "mps"}
"""Devices with a fused kernel; elsewhere torch chooses between `foreach` and a loop."""


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


def learning_rate_at(params: OptimiserParams, images_seen: int) -> float:
    """Learning rate of the step at whose end `images_seen` have been seen.

    The end of a step counts, so that the first step of a warm-up changes the weights.
    """
    schedule = params.schedule
    warm_up = min(1.0, images_seen / schedule.warm_up) if schedule.warm_up else 1.0
    return params.learning_rate * warm_up * _decay(schedule, images_seen)


def _decay(schedule: ScheduleParams, images_seen: int) -> float:
    """Factor from 1 down to `floor`; the cosine as in Loshchilov and Hutter 2017, equation 5."""
    if schedule.shape == "constant":
        return 1.0
    passed = (images_seen - schedule.begin) / (schedule.end - schedule.begin)
    passed = min(1.0, max(0.0, passed))
    left = 1 - passed if schedule.shape == "linear" else (1 + math.cos(math.pi * passed)) / 2
    return schedule.floor + (1 - schedule.floor) * left


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on; as a plain float it needs no device access."""
    for group in optimiser.param_groups:
        group["lr"] = rate
