"""One step of training: complete updates of one state, with nothing to read from the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from gan.devices import Compute
from gan.distributed.world import World
from gan.objectives.objective import Objective
from gan.objectives.penalties import compute_penalties, penalty_loss
from gan.params.train import TrainParams
from gan.randomness import normal, uniform
from gan.training.augment import adapted, augment, deviation_at, noisy
from gan.training.batches import Batches
from gan.training.ema import update_average
from gan.training.optimisers import rate_at, set_rate
from gan.training.state import NOWHERE, TrainState

ADA_IMAGES = 256
"""The strength is adapted after at least so many: of few the overfitting's sign says little."""

Measured = dict[str, Tensor]
"""Named 0-d tensors, detached; means over this process's samples."""


@dataclass(frozen=True)
class Engine:
    """What every step needs and none changes."""

    params: TrainParams
    objective: Objective
    compute: Compute
    world: World
    latent_size: int

    def first(self, start: int) -> int:
        """Where this process's part of the batch begins that begins with sample `start`."""
        return start + self.world.part(self.params.batch_size)[0]

    def samples(self, start: int) -> Tensor:
        """Global indices of this process's part of the batch that begins with sample `start`."""
        first, count = self.first(start), self.world.part(self.params.batch_size)[1]
        return torch.arange(first, first + count, device=self.compute.device)

    def latents(self, samples: Tensor) -> Tensor:
        drawn = normal(self.params.seed, "latents", samples, self.latent_size)
        return drawn.to(self.compute.dtype)

    def shown(self, pixels: Tensor, state: TrainState, stream: str, samples: Tensor) -> Tensor:
        """What the discriminator gets to see of pixels (N, 3, H, W), differentiable."""
        params = self.params
        if params.augment.wanted:
            pixels = augment(pixels, params.augment, state.strength, params.seed, stream, samples)
        seen = state.step * params.images_per_step
        if deviation := deviation_at(params.instance_noise, seen):
            pixels = noisy(pixels, deviation, params.seed, stream, samples)
        return pixels


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network without being computed for its parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _minimise(
    loss: Tensor, network: nn.Module, optimiser: Optimizer, scaler: GradScaler, world: World
) -> Tensor:
    """One update; returns the norm of the gradient over all parameters, float32."""
    optimiser.zero_grad(set_to_none=True)
    # of nothing else: pixels that penalties look at would get theirs too
    scaler.scale(loss).backward(inputs=list(network.parameters()))  # type: ignore[no-untyped-call]
    world.average_gradients(network)
    scaler.unscale_(optimiser)
    gradients = [each.grad for each in network.parameters() if each.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).float()
    scaler.step(optimiser)
    scaler.update()
    return norm


def _scores(state: TrainState, dtype: torch.dtype, real: Tensor, fake: Tensor) -> list[Tensor]:
    """Scores (N,) of real and of fake pixels."""
    discriminator = state.discriminator
    if discriminator.uses_batch_statistics:  # batch norm must see real and fake apart
        return [discriminator(real).to(dtype), discriminator(fake).to(dtype)]
    # one pass over both is faster than two and gives the same scores
    return list(discriminator(torch.cat([real, fake])).to(dtype).chunk(2))


def discriminator_step(
    state: TrainState, engine: Engine, real: Tensor, fake: Tensor, samples: Tensor, turn: int
) -> Measured:
    """One update of the discriminator.

    real, fake: (N, 3, H, W) pixels, detached; samples: (N,) their global indices; turn: how many
    updates of the discriminator went before, which says whether penalties are due.
    """
    params, compute = engine.params.recipe.penalties, engine.compute
    due = params.wanted and turn % params.every == 0
    real = engine.shown(real, state, "real", samples)
    fake = engine.shown(fake, state, "fake", samples)
    for pixels in (real, fake):
        pixels.requires_grad_(due and bool(params.r1 or params.r2))
    with compute.twice() if due else compute.autocast():
        real_scores, fake_scores = _scores(state, compute.dtype, real, fake)
        loss = engine.objective.discriminator_loss(real_scores, fake_scores)
        measured = {"loss/discriminator": loss}
        if due:
            mix = uniform(engine.params.seed, "mix", samples)[:, 0].to(compute.dtype)
            found = compute_penalties(
                params, state.discriminator, real, fake, real_scores, fake_scores, mix
            )
            measured |= found
            loss = measured["loss/discriminator"] = loss + penalty_loss(params, found)
    optimiser, scaler = state.discriminator_optimiser, state.discriminator_scaler
    norm = _minimise(loss, state.discriminator, optimiser, scaler, engine.world)
    measured["gradient_norm/discriminator"] = norm
    measured |= _judged(
        engine.objective.decision_threshold, real_scores.detach(), fake_scores.detach()
    )
    return {name: value.detach() for name, value in measured.items()}


def _judged(midpoint: float | None, real: Tensor, fake: Tensor) -> Measured:
    """Mean scores, and the shares of pictures that the discriminator gets right."""
    measured = {"score/real": real.mean(), "score/fake": fake.mean()}
    if midpoint is None:  # only which of a pair is higher means something
        return measured | {"accuracy/pairs": (real > fake).to(real.dtype).mean()}
    return measured | {
        "accuracy/real": (real > midpoint).to(real.dtype).mean(),
        "accuracy/fake": (fake < midpoint).to(real.dtype).mean(),
    }


def generator_step(
    state: TrainState, engine: Engine, fake: Tensor, real: Tensor, samples: Tensor
) -> Measured:
    """One update of the generator.

    fake: (N, 3, H, W) pixels that carry its gradient; real: as many, for objectives that compare;
    samples: (N,) global indices.
    """
    compute, objective = engine.compute, engine.objective
    with _frozen(state.discriminator):
        with compute.autocast():
            shown = engine.shown(fake, state, "generator", samples)
            scores = state.discriminator(shown).to(compute.dtype)
            others = None
            if objective.needs_real_scores:
                with torch.no_grad():
                    shown = engine.shown(real, state, "generator real", samples)
                    others = state.discriminator(shown).to(compute.dtype)
            loss = objective.generator_loss(scores, others)
        optimiser, scaler = state.generator_optimiser, state.generator_scaler
        norm = _minimise(loss, state.generator, optimiser, scaler, engine.world)
    return {"loss/generator": loss.detach(), "gradient_norm/generator": norm}


def train_step(state: TrainState, engine: Engine, batches: Batches) -> None:
    """`critic_steps` updates of the discriminator, one of the generator, one of the average.

    The generator learns from the pictures that the last update of the discriminator saw, as in
    PyTorch's DCGAN example: a pass through the generator is saved.
    """
    params, compute = engine.params, engine.compute
    steps, images = params.recipe.critic_steps, params.images_per_step
    start = state.step * images
    _set_rates(state, params, start + images)
    measured: Measured = {}
    for index in range(steps):
        samples = engine.samples(start + index * params.batch_size)
        first = engine.first(start + index * params.batch_size)
        real = batches(first).to(compute.dtype)
        batches.prefetch(first + params.batch_size)
        with torch.set_grad_enabled(index == steps - 1), compute.autocast():
            fake = state.generator(engine.latents(samples))
        fake = fake.to(compute.dtype)
        turn = state.step * steps + index
        found = discriminator_step(state, engine, real, fake.detach(), samples, turn)
        _note(state, found)
        measured = found
    _adapt(state, engine, measured)
    found = generator_step(state, engine, fake, real, samples)
    _note(state, found)
    state.step += 1
    average = params.average
    update_average(
        state.averaged,
        state.generator,
        images,
        start + images,
        average.half_life,
        average.warm_up,
    )


def _set_rates(state: TrainState, params: TrainParams, seen: int) -> None:
    recipe, scale = params.recipe, state.rate_scale
    set_rate(state.generator_optimiser, rate_at(recipe.generator, seen) * scale)
    set_rate(state.discriminator_optimiser, rate_at(recipe.discriminator, seen) * scale)


def _adapt(state: TrainState, engine: Engine, measured: Measured) -> None:
    """Let the augmentation's strength follow the discriminator's overfitting (ADA)."""
    params = engine.params.augment
    if not (params.wanted and params.ada_target):
        return
    right = measured.get("accuracy/real", measured.get("accuracy/pairs"))
    assert right is not None
    # E[sign(score - midpoint)] is the share on the right side less that on the wrong one
    state.overfitting = state.overfitting + (2 * right - 1)
    state.overfitting_steps += 1
    images = state.overfitting_steps * engine.params.images_per_step
    if images >= ADA_IMAGES:
        mean = {"overfitting": state.overfitting / state.overfitting_steps}
        overfitting = engine.world.mean(mean)["overfitting"]
        state.strength = adapted(state.strength, overfitting, images, params)
        state.overfitting, state.overfitting_steps = torch.zeros_like(state.overfitting), 0


def _note(state: TrainState, measured: Measured) -> None:
    """Add to the sums since the last log, and mark the first loss that is not finite."""
    for name, value in measured.items():
        counted: int | Tensor = 1
        if name.startswith("gradient_norm/"):  # fp16's scaler leaves out steps where it overflows
            counted = value.isfinite().to(value.dtype)
            value = torch.where(value.isfinite(), value, 0)
        state.window[name] = state.window.get(name, 0) + value
        state.window_counts[name] = state.window_counts.get(name, 0) + counted
        if name.startswith("loss/"):
            new = ~value.isfinite() & (state.broken_at == NOWHERE)
            state.broken_at = torch.where(new, state.step, state.broken_at)
