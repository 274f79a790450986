"""`gan train --dry-run`: everything is built and tried for two steps, nothing is written."""

import time
from contextlib import closing

import yaml

from gan.devices import fast, memory
from gan.distributed.world import ALONE
from gan.training.batches import Batches
from gan.training.state import TrainState
from gan.training.steps import Engine, train_step
from pipeline.training.plan import Plan

STEPS = 2


def tried(todo: Plan) -> str:
    """The resolved plan for a reader: networks, memory, time; GanError if it can't work."""
    params, device = todo.params.train, todo.compute.device
    state = todo.fresh()
    if todo.warm is not None:
        todo.warm.fill(state)
    seconds = _try(todo, state)
    counts = {
        name: sum(each.numel() for each in network.parameters())
        for name, network in (("generator", state.generator), ("critic", state.discriminator))
    }
    steps = todo.end // params.images_per_step
    rate = params.images_per_step / seconds
    lines = {
        "run": f"{todo.name} ({todo.run_key[:16]})",
        "train images": len(todo.cache.split("train")),
        "parameters": f"generator {counts['generator']:,}, discriminator {counts['critic']:,}",
        "device": f"{device.type}, {todo.compute.precision}",
        "memory": f"{memory(device) / 2**20:,.0f} MiB at most in {STEPS} steps",
        "length": f"{params.images:,} images seen, {steps:,} steps",
        "time": f"about {_spoken(steps * seconds)}, at {rate:,.1f} images a second",
    }
    told = [f"{key}: {value}" for key, value in lines.items()]
    if (wanted := todo.params.preprocess.size) != todo.cache.size:
        told.append(
            f"warning: {todo.cache.folder.name}/ is of {todo.cache.size} px, preprocess.size = "
            f"{wanted}: run gan preprocess first"
        )
    recipe = yaml.safe_dump({"recipe": params.recipe.model_dump()}, sort_keys=False)
    return "\n".join([*told, recipe.rstrip()])


def _try(todo: Plan, state: TrainState) -> float:
    """Seconds of a step, on average; the first one also warms up."""
    params, device = todo.params.train, todo.compute.device
    engine = Engine(params, todo.objective, todo.compute, ALONE, state.generator.latent_size)
    images = todo.cache.split("train")
    batches = Batches(images, params.seed, params.batch_size, params.flip, device)
    every = params.recipe.penalties.every if params.recipe.penalties.wanted else 1

    def timed(step: int) -> float:
        state.step, began = step, time.perf_counter()
        train_step(state, engine, batches)
        state.broken_at.item()  # wait for the device
        return time.perf_counter() - began

    with closing(batches), fast(device):
        first, usual = timed(0), timed(1)
        if every == 1:
            return min(first, usual)  # one may have waited for other programs
        return usual + max(timed(every) - usual, 0) / every  # the one with lazy penalties


def _spoken(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
