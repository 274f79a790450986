"""What a training is put together of, and some steps of one, without a stage around it."""

from contextlib import closing

import numpy as np
import torch

from gan.devices import Compute
from gan.distributed.world import ALONE, World
from gan.objectives.objective import build_objective
from gan.params.file import Params
from gan.training.batches import Batches
from gan.training.state import TrainState, build_state
from gan.training.steps import Engine, train_step

CPU = Compute(torch.device("cpu"), "float32")
AUGMENTED = {
    "train.augment.colour": True,
    "train.augment.translation": True,
    "train.augment.cutout": True,
    "train.augment.ada_target": 0.6,
    "train.instance_noise.deviation": 0.1,
}
ANTIALIASED = {f"model.{each}.family": "antialiased" for each in ("generator", "discriminator")}


def fresh(params: Params, compute: Compute = CPU) -> TrainState:
    """The state before the first step, for 32 pixels."""
    return build_state(params.model, 32, params.train, compute)


def engine_of(params: Params, compute: Compute = CPU, world: World = ALONE) -> Engine:
    objective = build_objective(params.train)
    return Engine(params.train, objective, compute, world, params.model.latent_size)


def batches_of(
    params: Params, images: np.ndarray, compute: Compute = CPU, world: World = ALONE
) -> Batches:
    train = params.train
    count = world.batch_part(train.batch_size)[1]
    return Batches(images, train.seed, count, train.flip, compute.device, world.size)


def run_steps(
    params: Params,
    images: np.ndarray,
    count: int,
    compute: Compute = CPU,
    world: World = ALONE,
    state: TrainState | None = None,
) -> TrainState:
    """The state after `count` more steps."""
    state = state or fresh(params, compute)
    world.synchronise_batch_norm(state.generator)
    world.synchronise_batch_norm(state.discriminator)
    engine = engine_of(params, compute, world)
    with closing(batches_of(params, images, compute, world)) as batches:
        for _ in range(count):
            train_step(state, engine, batches)
    return state
