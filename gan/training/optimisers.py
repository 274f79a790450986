"""How weights are moved: torch's optimisers as params.yaml asks for them, and their schedule."""

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
"""Where one kernel moves all weights; for the rest torch chooses between `foreach` and a loop."""


def build_optimiser(
    network: nn.Module, params: OptimiserParams, device: torch.device
) -> Optimizer:
    """The optimiser of a network's parameters, which are on `device`; its rate is the full one."""
    arguments: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in params.arguments.items()
    }
    if params.optimiser in FUSED and device.type in FUSED_ON:
        arguments["fused"] = True
    create: Any = CLASSES[params.optimiser]
    optimiser: Optimizer = create(network.parameters(), lr=params.learning_rate, **arguments)
    return optimiser


def rate_at(params: OptimiserParams, images_seen: int) -> float:
    """Learning rate of the step after which `images_seen` will have been seen.

    The end of a step counts, so that the first one of a warm-up moves the weights.
    """
    schedule = params.schedule
    warm = min(1.0, images_seen / schedule.warm_up) if schedule.warm_up else 1.0
    return params.learning_rate * warm * _decay(schedule, images_seen)


def _decay(schedule: ScheduleParams, images_seen: int) -> float:
    """From 1 down to `floor`; the cosine is half a wave (Loshchilov and Hutter 2017, eq. 5)."""
    if schedule.shape == "constant":
        return 1.0
    passed = (images_seen - schedule.begin) / (schedule.end - schedule.begin)
    passed = min(1.0, max(0.0, passed))
    left = 1 - passed if schedule.shape == "linear" else (1 + math.cos(math.pi * passed)) / 2
    return schedule.floor + (1 - schedule.floor) * left


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on; a plain float, which no device waits for."""
    for group in optimiser.param_groups:
        group["lr"] = rate
