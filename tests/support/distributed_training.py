"""Program of each process in test_distributed.py, started by torchrun.

    torchrun ... distributed_training.py FOLDER

Each process writes its results to FOLDER/<rank>.pt.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_trainings import run_steps
from torch import Tensor, nn
from torch.nn.functional import conv2d

from gan.devices import choose_compute
from gan.distributed.world import World, join_world
from gan.params.file import Params, parse_params

STEPS = 20
CPU = torch.device("cpu")


def gradients_of(rank: int) -> list[Tensor | None]:
    """Gradients of several memory layouts and sizes; none for the third parameter."""
    random = torch.Generator().manual_seed(rank)
    filters = torch.randn(5, 3, 4, 4, generator=random)
    return [
        filters.to(memory_format=torch.channels_last),
        torch.randn(7, generator=random),
        None,
        torch.randn(300, 4, generator=random),
        torch.randn((), generator=random),
    ]


def with_gradients(rank: int) -> nn.Module:
    network = nn.Module()
    for index, gradient in enumerate(gradients_of(rank)):
        parameter = nn.Parameter(torch.zeros(2) if gradient is None else gradient.clone())
        parameter.grad = gradient
        network.register_parameter(f"p{index}", parameter)
    return network


def build_normed() -> nn.Sequential:
    """A network with batch norm, float64: the norm's gradient goes on to earlier weights."""
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)
    return nn.Sequential(*layers, nn.BatchNorm2d(2)).double()


def pixels_of_all() -> Tensor:
    """Means differ between samples, so that each process alone would find other statistics."""
    random = torch.Generator().manual_seed(9)
    pixels = torch.randn(8, 3, 9, 9, generator=random, dtype=torch.float64)
    return pixels + torch.arange(8).view(-1, 1, 1, 1)


def run_passes(network: nn.Module, world: World) -> dict[str, Any]:
    """Two passes of this process's part of the batch: outputs, gradients, buffers."""
    offset, count = world.batch_part(8)
    pixels = pixels_of_all()[offset : offset + count].requires_grad_()
    output = network(pixels)
    network(pixels.detach() * 2)
    # of the pictures before: their gradient would otherwise be 0 but for rounding
    conv2d(output.tanh(), torch.ones(1, 2, 2, 2, dtype=output.dtype)).square().mean().backward()
    world.average_gradients(network)
    with torch.no_grad():
        seen = network.eval()(pixels)
    return {
        "output": output.detach(),
        "in eval": seen,
        # the loss is the mean over processes of theirs
        "to pixels": pixels.grad / world.size,
        "gradients": [each.grad for each in network.parameters()],
        "state": network.state_dict(),
    }


def exchange_all(world: World) -> dict[str, Any]:
    """Results of every collective operation in this process."""
    network = with_gradients(world.rank)
    world.average_gradients(network)
    own = {"a": torch.tensor(float(world.rank)), "b": torch.tensor([world.rank, 4.0]).double()}
    return {
        "gradients": [each.grad for each in network.parameters()],
        "mean": world.mean(own),
        "flags": [world.any(False), world.any(world.rank == 1), world.any(True)],
        "shared": world.broadcast({"weights": torch.ones(3), "step": 7} if world.lead else None),
        "norm": run_passes(world.synchronise_batch_norm(build_normed()), world),
        "part": world.batch_part(10),
    }


def train_steps(params: Params, world: World) -> dict[str, Any]:
    """The weights after some steps on noise, and the means of what was measured."""
    train = params.train
    compute = choose_compute(train.device, train.precision)
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    state = run_steps(params, images, STEPS, compute, world)
    networks = {
        "generator": state.generator.state_dict(),
        "discriminator": state.discriminator.state_dict(),
        "averaged": state.averaged.state_dict(),
    }
    return networks | {
        "measured": world.mean(state.metric_sums),
        "strength": state.augment_strength,
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    wanted = json.loads((folder / "params.json").read_text())
    with join_world(CPU) as world:
        assert world.size == 2
        found = {"exchange": exchange_all(world)}
        for name, values in wanted.items():
            found[name] = train_steps(parse_params(values, name), world)
        torch.save(found, folder / f"{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
