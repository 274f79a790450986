"""Role of every process but the first in a training on several devices: no files, no notices."""

import io
from typing import Any, Self

import torch
from torch import Tensor

from gan.distributed.world import World
from gan.models.interfaces import Generator
from gan.training.loop import DivergedError
from gan.training.state import TrainState
from pipeline.signals import Stop


def send_state(world: World, state: TrainState) -> None:
    """Send the first process's state to all others."""
    if world.size > 1:
        buffer = io.BytesIO()
        torch.save(state.state_dict(), buffer)
        world.broadcast(buffer.getvalue())


def _receive_state(world: World) -> dict[str, Any]:
    sent: Any = world.broadcast(None)
    content: dict[str, Any] = torch.load(io.BytesIO(sent), map_location="cpu", weights_only=True)
    return content


class Follow:
    """Training process that takes its state from the first one and writes nothing."""

    def __init__(self, world: World, stop: Stop) -> None:
        self.world, self.stop = world, stop

    def restore(self, state: TrainState, diverged: DivergedError | None) -> Self:
        """Receive the state that the first process restored."""
        state.load_state_dict(_receive_state(self.world))
        return self

    def publish(self) -> None: ...
    def log(self, images_seen: int, measured: dict[str, float]) -> None: ...
    def grid(self, images_seen: int, images: Tensor, measured: dict[str, float]) -> None: ...
    def snapshot(self, images_seen: int, averaged: Generator) -> None: ...
    def checkpoint(self, images_seen: int, state: TrainState) -> None: ...
    def step_done(self, images_seen: int) -> None: ...
    def should_stop(self) -> bool:
        return self.stop.asked
