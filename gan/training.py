"""The training loop: complete steps on one state; what to do with results is the observer's."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from gan.batches import Batches
from gan.devices import Compute
from gan.ema import recalibrate, update_average
from gan.models.dcgan import Discriminator, Generator, build_generator, initialise
from gan.objectives.objective import Losses, Objective
from gan.params import ModelParams, ObjectiveParams, TrainParams
from gan.randomness import normal, uniform

CALIBRATION_BATCHES, CALIBRATION_SIZE = 8, 64


@dataclass
class TrainState:
    """All that must survive for training to go on as if nothing had happened."""

    generator: Generator
    discriminator: Discriminator
    averaged: Generator
    generator_optimiser: Adam
    discriminator_optimiser: Adam
    step: int = 0
    window: dict[str, Tensor] = field(default_factory=dict)
    """Sums of what was measured since the last log."""
    window_steps: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only."""
        return {
            name: part.state_dict() if hasattr(part, "state_dict") else part
            for name, part in vars(self).items()
        }

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Put a saved state in place, on this state's own device."""
        device = next(self.generator.parameters()).device
        for name, part in vars(self).items():
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(content[name])
        self.step, self.window_steps = content["step"], content["window_steps"]
        self.window = {key: value.to(device) for key, value in content["window"].items()}


class Observer(Protocol):
    """Told of the training's progress; `images_seen` is the x axis of everything."""

    def log(self, images_seen: int, measured: dict[str, float]) -> None: ...
    def grid(self, images_seen: int, averaged: Generator) -> None: ...
    def snapshot(self, images_seen: int, averaged: Generator) -> None: ...
    def checkpoint(self, images_seen: int, state: TrainState) -> None: ...
    def stepped(self, images_seen: int) -> None: ...


def _adam(network: nn.Module, learning_rate: float, betas: list[float]) -> Adam:
    return Adam(network.parameters(), lr=learning_rate, betas=(betas[0], betas[1]), fused=True)


def build_state(
    model: ModelParams, size: int, seed: int, recipe: ObjectiveParams, device: torch.device
) -> TrainState:
    """Fresh networks and optimisers, a function of `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # spectral norm draws its first vectors from the global generator
        generator = build_generator(model, size)
        discriminator = Discriminator(
            size, model.discriminator_width, recipe.discriminator_norm, recipe.spectral_norm
        )
    random = torch.Generator().manual_seed(seed)
    for network in (generator, discriminator):
        initialise(network, random)
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainState(
        generator,
        discriminator,
        copy.deepcopy(generator).eval().requires_grad_(False),
        _adam(generator, recipe.generator_learning_rate, recipe.betas),
        _adam(discriminator, recipe.discriminator_learning_rate, recipe.betas),
    )


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network without being computed for its parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _minimise(optimiser: Adam, losses: Losses, name: str) -> Losses:
    optimiser.zero_grad(set_to_none=True)
    losses[name].backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return {key: value.detach() for key, value in losses.items()}


def discriminator_step(
    state: TrainState,
    objective: Objective,
    compute: Compute,
    real: Tensor,
    latents: Tensor,
    mix: Tensor,
) -> Losses:
    """One update of the discriminator; real (N, 3, H, W) pixels, latents (N, L), mix (N,)."""
    with torch.no_grad(), compute.autocast():
        fake = state.generator(latents)
    with compute.autocast():
        losses = objective.discriminator_loss(state.discriminator, real, fake.float(), mix)
    return _minimise(state.discriminator_optimiser, losses, "loss/discriminator")


def generator_step(
    state: TrainState, objective: Objective, compute: Compute, latents: Tensor
) -> Losses:
    """One update of the generator; latents (N, L)."""
    with _frozen(state.discriminator):
        with compute.autocast():
            fake = state.generator(latents)
            losses = objective.generator_loss(state.discriminator, fake)
        return _minimise(state.generator_optimiser, losses, "loss/generator")


def train_step(
    state: TrainState,
    objective: Objective,
    compute: Compute,
    batches: Batches,
    params: TrainParams,
    latent_size: int,
) -> None:
    """`critic_steps` updates of the discriminator, one of the generator, one of the average."""
    critic_steps, batch_size = params.recipe.critic_steps, params.batch_size
    first = state.step * critic_steps * batch_size
    measured: Losses = {}
    for start in range(first, first + critic_steps * batch_size, batch_size):
        samples = torch.arange(start, start + batch_size, device=compute.device)
        latents = normal(params.seed, "discriminator", samples, latent_size)
        mix = uniform(params.seed, "mix", samples)[:, 0]
        losses = discriminator_step(state, objective, compute, batches(start), latents, mix)
        for name, value in losses.items():
            measured[name] = measured.get(name, 0) + value / critic_steps
    samples = torch.arange(state.step * batch_size, (state.step + 1) * batch_size)
    latents = normal(params.seed, "generator", samples.to(compute.device), latent_size)
    measured |= generator_step(state, objective, compute, latents)
    state.step += 1
    images = critic_steps * batch_size
    seen = first + images
    update_average(state.averaged, state.generator, images, seen, params.average_images)
    for name, value in measured.items():
        state.window[name] = state.window.get(name, 0) + value
    state.window_steps += 1


def _calibrate(state: TrainState, seed: int, latent_size: int, device: torch.device) -> None:
    count = CALIBRATION_BATCHES * CALIBRATION_SIZE
    latents = normal(seed, "calibration", torch.arange(count, device=device), latent_size)
    recalibrate(state.averaged, torch.split(latents, CALIBRATION_SIZE))


def _take_window(state: TrainState) -> dict[str, float]:
    means = {name: float(total) / state.window_steps for name, total in state.window.items()}
    state.window, state.window_steps = {}, 0
    return means


def train(
    state: TrainState,
    objective: Objective,
    compute: Compute,
    batches: Batches,
    params: TrainParams,
    observer: Observer,
) -> None:
    """Train until `params.images` have been seen, from wherever `state` stands.

    Randomness is a function of (seed, sample index), so that a state that was saved and loaded
    goes on exactly as one that never stopped.
    """
    latent_size = state.generator.latent_size
    per_step = params.recipe.critic_steps * params.batch_size
    began = state.step
    while True:
        seen = state.step * per_step
        finished = seen >= params.images

        def due(every: int, seen: int = seen) -> bool:
            return seen // every > (seen - per_step) // every

        # what a loaded state had reached was reported before it was saved; only the end is shown
        # again, since a longer training may have been begun from it
        stepped = state.step > began
        shown = finished or (due(params.grid_every) and (stepped or state.step == 0))
        kept = finished or (due(params.snapshot_every) and stepped)
        if shown or kept:
            _calibrate(state, params.seed, latent_size, compute.device)
        if due(params.log_every) and stepped:
            observer.log(seen, _take_window(state))
        if shown:
            observer.grid(seen, state.averaged)
        if kept:
            observer.snapshot(seen, state.averaged)
        if finished or (due(params.checkpoint_every) and stepped):
            observer.checkpoint(seen, state)
        if finished:
            return
        train_step(state, objective, compute, batches, params, latent_size)
        observer.stepped(state.step * per_step)
