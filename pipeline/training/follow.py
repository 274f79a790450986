"""What the other processes of a training on several devices do: as the first one, in silence."""

import io
from typing import Any

import torch
from torch import Tensor

from gan.distributed.world import World
from gan.models.interfaces import Generator
from gan.training.loop import DivergedError, Observer
from gan.training.state import TrainState
from pipeline.signals import Stop


def send_state(world: World, state: TrainState) -> None:
    """From the first process to all others."""
    if world.size > 1:
        buffer = io.BytesIO()
        torch.save(state.state_dict(), buffer)
        world.share(buffer.getvalue())


def _received(world: World) -> dict[str, Any]:
    sent: Any = world.share(None)
    content: dict[str, Any] = torch.load(io.BytesIO(sent), map_location="cpu", weights_only=True)
    return content


class Follower:
    """A process that takes the state from the first one and writes nothing."""

    def __init__(self, world: World, stop: Stop) -> None:
        self.world, self.stop = world, stop

    def begin(self, state: TrainState, diverged: DivergedError | None) -> Observer:
        state.load_state_dict(_received(self.world))
        return self

    def log(self, images_seen: int, measured: dict[str, float]) -> None:
        pass

    def grid(self, images_seen: int, images: Tensor, measured: dict[str, float]) -> None:
        pass

    def snapshot(self, images_seen: int, averaged: Generator) -> None:
        pass

    def checkpoint(self, images_seen: int, state: TrainState) -> None:
        pass

    def stepped(self, images_seen: int) -> None:
        pass

    def asks_to_stop(self) -> bool:
        return self.stop.asked
