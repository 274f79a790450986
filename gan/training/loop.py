"""The training loop: when results are due, and when it ends; the observer keeps them."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from gan.models.interfaces import Generator
from gan.randomness import normal
from gan.sampling import GRID_SEEDS, generate, seed_latents
from gan.training.batches import Batches
from gan.training.diversity import diversity
from gan.training.ema import recalibrate
from gan.training.state import NOWHERE, TrainState
from gan.training.steps import Engine, Measured, train_step

CALIBRATION_BATCHES, CALIBRATION_SIZE = 8, 64
WINNING = 0.98
"""A discriminator that is right about so many real and so many fake pictures has won."""

OVERFITTING = "overfitting"

STOP_EVERY = 8
"""Steps from one question of several accelerators whether to stop to the next: it waits."""


class Observer(Protocol):
    """Told of the training's progress; `images_seen` is the x axis of everything."""

    def log(self, images_seen: int, measured: dict[str, float]) -> None: ...
    def grid(self, images_seen: int, images: Tensor, measured: dict[str, float]) -> None:
        """The pictures (n, 3, H, W) uint8 of GRID_SEEDS, and how diverse they are."""
        ...

    def snapshot(self, images_seen: int, averaged: Generator) -> None: ...
    def checkpoint(self, images_seen: int, state: TrainState) -> None: ...
    def stepped(self, images_seen: int) -> None: ...
    def asks_to_stop(self) -> bool: ...


class DivergedError(Exception):
    """A loss or a weight is not finite; `args[0]` says what and where."""


def train(state: TrainState, engine: Engine, batches: Batches, observer: Observer) -> bool:
    """Train until `images` have been seen, from wherever `state` stands.

    Returns whether the training is at its end: also early, when the pictures have become alike,
    but not when the observer asked to stop; then a checkpoint was made. Raises DivergedError.
    Randomness is a function of (seed, sample index), so that a state that was saved and loaded
    goes on exactly as one that never stopped.
    """
    params = engine.params
    per_step, began = params.images_per_step, state.step
    while True:
        seen = state.step * per_step
        stopped = _asked(state, engine, observer)

        def due(every: int, seen: int = seen) -> bool:
            return seen // every > (seen - per_step) // every

        # what a loaded state had reached was reported before it was saved; only the end is shown
        # again, since a longer training may have been begun from it
        stepped = state.step > began
        logged = due(params.log_every) and stepped
        gridded = due(params.grid_every) and (stepped or state.step == 0)
        kept = due(params.snapshot_every) and stepped
        saved = due(params.checkpoint_every) and stepped
        long_enough = seen >= params.images
        if logged or gridded or kept or saved or stopped or long_enough:
            _check(state, engine)
        if gridded or kept or long_enough:
            _calibrate(state, engine)
        if logged:
            observer.log(seen, _take_window(state, engine))
        if gridded or long_enough:
            # networks that never learned may be more diverse than any that did
            _show(state, engine, observer, seen, counts=gridded and seen > 0)
        finished = long_enough or _collapsed(state, engine)
        if kept or finished:
            observer.snapshot(seen, state.averaged)
        if saved or finished or stopped:
            # one process saves for all
            shared = engine.world.mean(state.window | {OVERFITTING: state.overfitting})
            state.overfitting, state.window = shared.pop(OVERFITTING), shared
            observer.checkpoint(seen, state)
        if finished or stopped:
            return finished
        train_step(state, engine, batches)
        observer.stepped(state.step * per_step)


def _asked(state: TrainState, engine: Engine, observer: Observer) -> bool:
    """Whether any process was asked to stop; all processes agree."""
    costly = engine.compute.device.type != "cpu" and engine.world.size > 1
    if costly and state.step % STOP_EVERY:
        return False
    return engine.world.any(observer.asks_to_stop())


def _collapsed(state: TrainState, engine: Engine) -> bool:
    patience = engine.params.early_stop.patience
    return bool(patience) and engine.world.any(state.poor_grids >= patience)


def _check(state: TrainState, engine: Engine) -> None:
    """Raise DivergedError, on all processes, if something is not finite: the only time to ask."""
    step = int(state.broken_at)
    wrong = next(_not_finite(state), "")
    if not engine.world.any(step != NOWHERE or bool(wrong)):
        return
    names = [name for name, total in state.window.items() if not bool(total.isfinite())]
    at = (step if step != NOWHERE else state.step) * engine.params.images_per_step
    what = ", ".join(names) or wrong or "another process's loss"
    raise DivergedError(f"{what} not finite at {at:,} images seen")


def _not_finite(state: TrainState) -> Iterator[str]:
    """What is not finite: weights, what an optimiser remembers, fp16's gradients for long."""
    for title in ("generator", "discriminator"):
        network: nn.Module = getattr(state, title)
        if not _all_finite(list(network.parameters())):
            for name, parameter in network.named_parameters():
                if not bool(parameter.isfinite().all()):
                    yield f"weight {title}.{name}"
        memory = getattr(state, f"{title}_optimiser").state.values()
        if not _all_finite([each for kept in memory for each in kept.values()]):
            yield f"what the optimiser of the {title} remembers"
        scaler: GradScaler = getattr(state, f"{title}_scaler")
        if scaler.is_enabled() and scaler.get_scale() < 1:  # halved with each step it left out
            yield f"gradients of the {title} for many steps"


def _all_finite(values: list[Any]) -> bool:
    tensors = [each for each in values if isinstance(each, Tensor) and each.is_floating_point()]
    if not tensors:
        return True
    with torch.no_grad():
        largest = torch._foreach_norm(tensors, float("inf"))
        return bool(torch.stack([each.float() for each in largest]).isfinite().all())


def _calibrate(state: TrainState, engine: Engine) -> None:
    count = CALIBRATION_BATCHES * CALIBRATION_SIZE
    samples = torch.arange(count, device=engine.compute.device)
    latents = normal(engine.params.seed, "calibration", samples, engine.latent_size)
    latents = latents.to(engine.compute.dtype)
    recalibrate(state.averaged, torch.split(latents, CALIBRATION_SIZE))


def _take_window(state: TrainState, engine: Engine) -> dict[str, float]:
    """Means since the last log, over all processes; the window starts anew."""
    means: Measured = {
        name: total / state.window_counts[name] for name, total in state.window.items()
    }
    if engine.params.augment.wanted:
        means["augment/strength"] = state.strength
    measured = {name: float(value) for name, value in engine.world.mean(means).items()}
    state.window, state.window_counts = {}, {}
    right = [value for name, value in measured.items() if name.startswith("accuracy/")]
    measured["alarm/discriminator_wins"] = float(min(right) >= WINNING)
    for name in ("generator", "discriminator"):
        optimiser = getattr(state, f"{name}_optimiser")
        measured[f"learning_rate/{name}"] = float(optimiser.param_groups[0]["lr"])
    return measured


def _show(
    state: TrainState, engine: Engine, observer: Observer, seen: int, *, counts: bool
) -> None:
    """`counts`: it is a grid that a longer training would make too."""
    latents = seed_latents(GRID_SEEDS, engine.latent_size).to(engine.compute.dtype)
    images = torch.cat(list(generate(state.averaged, latents)))
    found = diversity(images)
    best = max(state.best_diversity, found)
    poor = found < engine.params.early_stop.share * best
    if counts:
        state.best_diversity = best
        state.poor_grids = state.poor_grids + 1 if poor else 0
    observer.grid(seen, images, {"diversity/grid": found, "alarm/collapse": float(poor)})
