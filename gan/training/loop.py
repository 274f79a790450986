"""The training loop: when to log, save and stop. The observer keeps the results."""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gan.models.interfaces import Generator
from gan.randomness import normal
from gan.sampling import GRID_SEEDS, generate, seed_latents
from gan.training.batches import Batches
from gan.training.ema import recalibrate
from gan.training.state import NEVER, TrainState
from gan.training.steps import Engine, Metrics, train_step

CALIBRATION_BATCHES, CALIBRATION_SIZE = 8, 64
WIN_THRESHOLD = 0.98
"""Accuracy on real and on fake pictures from which on the discriminator has won."""

OVERFITTING = "overfitting"

STOP_EVERY = 8
"""Steps between two checks of several accelerators for a stop signal: each check waits."""

SIDE = 16
"""Pictures are averaged down to this side: noise and texture are not diversity."""


class Observer(Protocol):
    """Receiver of a training's results; `images_seen` is the x axis of everything."""

    def log(self, images_seen: int, metrics: dict[str, float]) -> None: ...
    def grid(self, images_seen: int, images: Tensor, metrics: dict[str, float]) -> None:
        """Take the pictures (n, 3, H, W) uint8 of GRID_SEEDS, and their diversity."""
        ...

    def snapshot(self, images_seen: int, averaged: Generator) -> None: ...
    def checkpoint(self, images_seen: int, state: TrainState) -> None: ...
    def step_done(self, images_seen: int) -> None: ...
    def should_stop(self) -> bool: ...


class DivergedError(Exception):
    """A loss or a weight is not finite; `args[0]` names it and the images seen."""


def train(state: TrainState, engine: Engine, batches: Batches, observer: Observer) -> bool:
    """Train from `state` until `train.images` have been seen.

    Returns True when the training has finished, also early because the pictures have become alike;
    False when the observer asked to stop, after a checkpoint. Raises DivergedError. Randomness is
    a function of (seed, sample index), so that a state that was saved and loaded continues exactly
    as one that never stopped.
    """
    params = engine.params
    per_step, first_step = params.images_per_step, state.step
    while True:
        seen = state.step * per_step
        stopped = _should_stop(state, engine, observer)

        def due(every: int, seen: int = seen) -> bool:
            return seen // every > (seen - per_step) // every

        # what was due at a loaded state's step was reported before it was saved; only the end is
        # reported again, since a longer training may continue from a finished one
        new = state.step > first_step
        log_due = due(params.log_every) and new
        grid_due = due(params.grid_every) and (new or state.step == 0)
        snapshot_due = due(params.snapshot_every) and new
        checkpoint_due = due(params.checkpoint_every) and new
        long_enough = seen >= params.images
        if log_due or grid_due or snapshot_due or checkpoint_due or stopped or long_enough:
            _check_finite(state, engine)
        if grid_due or snapshot_due or long_enough:
            _calibrate(state, engine)
        if log_due:
            observer.log(seen, _take_metrics(state, engine))
        if grid_due or long_enough:
            # untrained networks may be more diverse than any trained ones
            _report_grid(state, engine, observer, seen, counts=grid_due and seen > 0)
        patience = params.early_stop.patience
        collapsed = bool(patience) and engine.world.any(state.poor_grids >= patience)
        finished = long_enough or collapsed
        if snapshot_due or finished:
            observer.snapshot(seen, state.averaged)
        if checkpoint_due or finished or stopped:
            # one process saves for all
            means = engine.world.mean(state.metric_sums | {OVERFITTING: state.overfitting})
            state.overfitting, state.metric_sums = means.pop(OVERFITTING), means
            observer.checkpoint(seen, state)
        if finished or stopped:
            return finished
        train_step(state, engine, batches)
        observer.step_done(state.step * per_step)


def _should_stop(state: TrainState, engine: Engine, observer: Observer) -> bool:
    """Whether any process was asked to stop; all processes agree."""
    costly = engine.compute.device.type != "cpu" and engine.world.size > 1
    if costly and state.step % STOP_EVERY:
        return False
    return engine.world.any(observer.should_stop())


def _check_finite(state: TrainState, engine: Engine) -> None:
    """Raise DivergedError, on all processes, if a loss or a part of the state is not finite."""
    step = int(state.first_nonfinite_step)
    part = next(_nonfinite_parts(state), "")
    if not engine.world.any(step != NEVER or bool(part)):
        return
    losses = [name for name, total in state.metric_sums.items() if not bool(total.isfinite())]
    seen = (step if step != NEVER else state.step) * engine.params.images_per_step
    what = ", ".join(losses) or part or "another process's loss"
    raise DivergedError(f"{what} not finite at {seen:,} images seen")


def _nonfinite_parts(state: TrainState) -> Iterator[str]:
    """Names of weights, optimiser states and, under fp16, gradients that are not finite."""
    for learner in state.learners:
        if not _all_finite(list(learner.network.parameters())):
            for name, parameter in learner.network.named_parameters():
                if not bool(parameter.isfinite().all()):
                    yield f"weight {learner.name}.{name}"
        slots = learner.optimiser.state.values()
        if not _all_finite([value for slot in slots for value in slot.values()]):
            yield f"optimiser state of the {learner.name}"
        scaler = learner.scaler
        if scaler.is_enabled() and scaler.get_scale() < 1:  # halved with each step that it skips
            yield f"gradients of the {learner.name} for many steps"


def _all_finite(values: list[Any]) -> bool:
    tensors = [each for each in values if isinstance(each, Tensor) and each.is_floating_point()]
    if not tensors:
        return True
    with torch.no_grad():
        largest = torch._foreach_norm(tensors, float("inf"))
        return bool(torch.stack([each.float() for each in largest]).isfinite().all())


def _calibrate(state: TrainState, engine: Engine) -> None:
    """Measure the averaged generator's batch norm statistics and mean on fixed latents."""
    count = CALIBRATION_BATCHES * CALIBRATION_SIZE
    samples = torch.arange(count, device=engine.compute.device)
    latents = normal(engine.params.seed, "calibration", samples, engine.latent_size)
    latents = latents.to(engine.compute.dtype)
    recalibrate(state.averaged, torch.split(latents, CALIBRATION_SIZE))
    state.averaged.measure_mean()


def _take_metrics(state: TrainState, engine: Engine) -> dict[str, float]:
    """Means since the last log over all processes; resets the sums."""
    counts = state.metric_counts
    means: Metrics = {name: total / counts[name] for name, total in state.metric_sums.items()}
    if engine.params.augment.enabled:
        means["augment/strength"] = state.augment_strength
    metrics = {name: float(value) for name, value in engine.world.mean(means).items()}
    state.metric_sums, state.metric_counts = {}, {}
    accuracies = [value for name, value in metrics.items() if name.startswith("accuracy/")]
    metrics["alarm/discriminator_wins"] = float(min(accuracies) >= WIN_THRESHOLD)
    for learner in state.learners:
        metrics[f"learning_rate/{learner.name}"] = float(learner.optimiser.param_groups[0]["lr"])
    return metrics


def _report_grid(
    state: TrainState, engine: Engine, observer: Observer, seen: int, *, counts: bool
) -> None:
    """Draw the grid; `counts`: it counts for the early stop, which a longer training shares."""
    latents = seed_latents(GRID_SEEDS, engine.latent_size).to(engine.compute.dtype)
    images = torch.cat(list(generate(state.averaged, latents)))
    measured = diversity(images)
    best = max(state.best_diversity, measured)
    poor = measured < engine.params.early_stop.share * best
    if counts:
        state.best_diversity = best
        state.poor_grids = state.poor_grids + 1 if poor else 0
    observer.grid(seen, images, {"diversity/grid": measured, "alarm/collapse": float(poor)})


def diversity(images: Tensor) -> float:
    """Mean distance of each picture to its nearest other picture, in levels (0 to 255).

    images: (N, 3, H, W) uint8, N at least 2. A distance is the root mean square over the channels
    of 16x16 area means. It is 0 if every picture has a copy, and falls by the share of pictures
    that have one. It also falls with N, so only equal counts compare. Needs memory for N x N
    numbers.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, not {images.dtype}")
    if len(images) < 2:
        raise ValueError(f"diversity needs at least 2 pictures, not {len(images)}")
    small = adaptive_avg_pool2d(images.cpu().double(), SIDE).flatten(1)
    # by matrix multiplication equal pictures would have a distance
    distances = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.fill_diagonal_(float("inf")).amin(1)
    return nearest.mean().item() / math.sqrt(small.shape[1])
