"""`gan train --dry-run`: a few steps of a training, of which nothing is written."""

import time
from contextlib import closing
from datetime import timedelta
from statistics import median

import yaml
from torch.nn import Module

from gan.devices import fast_training, peak_memory
from gan.distributed.world import ALONE
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from gan.training.state import TrainState
from gan.training.steps import train_step
from pipeline.paths import Paths
from pipeline.training.plan import Plan, make_plan

STEPS, SECONDS = 12, 10.0
"""Timed steps, unless they take longer than this: then fewer."""


def describe_dry_run(params: Params, paths: Paths, minutes: int | None = None) -> str:
    """Try a few steps; describe networks, memory and time, and the length that fits into `minutes`
    of training. GanError if the training can't work."""
    plan = make_plan(params.model, params.train, TensorCache.open(paths.cache), paths)
    train, device = plan.train, plan.compute.device
    state = plan.fresh_state()
    if plan.warm is not None:
        plan.warm.fill(state)
    seconds = _time_step(plan, state)
    generator, discriminator = map(_count_parameters, (state.generator, state.discriminator))
    steps = plan.end // train.images_per_step
    duration = timedelta(seconds=round(steps * seconds))
    rate = train.images_per_step / seconds
    lines = {
        "run": f"{plan.name} ({plan.run_key[:16]})",
        "train images": len(plan.cache.split("train")),
        "parameters": f"generator {generator:,}, discriminator {discriminator:,}",
        "device": f"{device.type}, {plan.compute.precision}",
        "memory": f"{peak_memory(device) / 2**20:,.0f} MiB at most",
        "length": f"{train.images:,} images seen, {steps:,} steps",
        "time": f"about {duration}, at {rate:,.1f} images a second",
    }
    if minutes is not None:
        lines[f"{minutes} minutes"] = _fit(int(60 * minutes * rate), train.images_per_step)
    text = [f"{key}: {value}" for key, value in lines.items()]
    if (wanted := params.preprocess.size) != plan.cache.size:
        text.append(
            f"warning: {plan.cache.folder.name}/ is of {plan.cache.size} px, preprocess.size = "
            f"{wanted}: run `gan preprocess` first"
        )
    recipe = yaml.safe_dump({"recipe": train.recipe.model_dump()}, sort_keys=False)
    return "\n".join([*text, recipe.rstrip()])


def _count_parameters(network: Module) -> int:
    return sum(each.numel() for each in network.parameters())


def _time_step(plan: Plan, state: TrainState) -> float:
    """Return seconds of a step, on average.

    Of each kind of step, with and without lazy penalties, the median counts: the first one warms
    up, and others may have waited for other programs.
    """
    train, device = plan.train, plan.compute.device
    engine, batches = plan.engine(ALONE), plan.batches(ALONE)
    every = train.recipe.penalties.every if train.recipe.penalties.enabled else 1

    def time_one(step: int) -> float:
        state.step, began = step, time.perf_counter()
        train_step(state, engine, batches)
        state.first_nonfinite_step.item()  # wait for the device
        return time.perf_counter() - began

    with closing(batches), fast_training(device):
        began = time.perf_counter()
        lazy, plain = [time_one(0)], [time_one(1)]
        while len(plain) < STEPS and time.perf_counter() - began < SECONDS:
            plain.append(time_one(1))
            lazy.append(time_one(0))
    if every == 1:
        return median(plain + lazy)
    return median(plain) + max(median(lazy) - median(plain), 0) / every


def _fit(images: int, step: int) -> str:
    """Length of a training of `images`, two digits of it, and the option that sets it."""
    if images < step:
        return "too short for a step"
    unit = 10 ** max(len(str(images)) - 2, 0)
    length = images // unit * unit
    return f"train.images = {length:,}; to train it: dvc exp run -S train.images={length}"
