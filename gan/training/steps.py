"""One step of training: updates of both networks and the average; never waits for the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.devices import Compute
from gan.distributed.world import World
from gan.objectives.objective import Objective
from gan.objectives.penalties import compute_penalties, penalty_loss
from gan.params.train import TrainParams
from gan.randomness import normal, uniform
from gan.training.augment import adapt_strength, add_instance_noise, augment, noise_deviation
from gan.training.batches import Batches
from gan.training.ema import update_average
from gan.training.state import (
    NEVER,
    Learner,
    TrainState,
    learning_rate_at,
    set_learning_rate,
)

ADA_IMAGES = 256
"""Images between two adaptations of the strength: from few, the sign of overfitting is noise."""

Metrics = dict[str, Tensor]
"""Detached 0-d tensors by name; means over this process's samples."""


@dataclass(frozen=True)
class Engine:
    """Everything that a step needs and does not change."""

    params: TrainParams
    objective: Objective
    compute: Compute
    world: World
    latent_size: int

    def latents(self, samples: Tensor) -> Tensor:
        drawn = normal(self.params.seed, "latents", samples, self.latent_size)
        return drawn.to(self.compute.dtype)

    def augment_for_discriminator(
        self, pixels: Tensor, state: TrainState, stream: str, samples: Tensor
    ) -> Tensor:
        """Augment pixels (N, 3, H, W) and add instance noise, differentiably."""
        params, strength = self.params, state.augment_strength
        if params.augment.enabled:
            pixels = augment(pixels, params.augment, strength, params.seed, stream, samples)
        seen = state.step * params.images_per_step
        if deviation := noise_deviation(params.instance_noise, seen):
            pixels = add_instance_noise(pixels, deviation, params.seed, stream, samples)
        return pixels


def _minimise(loss: Tensor, learner: Learner, world: World) -> Tensor:
    """Update the learner's network once; returns its gradient norm, float32."""
    network, optimiser, scaler = learner.network, learner.optimiser, learner.scaler
    optimiser.zero_grad(set_to_none=True)
    # of the parameters only: pixels that penalties differentiate by would get gradients too
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
    if discriminator.uses_batch_statistics:  # real and fake need separate statistics
        return [discriminator(real).to(dtype), discriminator(fake).to(dtype)]
    # one pass over both is faster than two and gives the same scores
    return list(discriminator(torch.cat([real, fake])).to(dtype).chunk(2))


def discriminator_step(
    state: TrainState,
    engine: Engine,
    real: Tensor,
    fake: Tensor,
    samples: Tensor,
    update_index: int,
) -> Metrics:
    """Update the discriminator once.

    real, fake: (N, 3, H, W) pixels, detached; samples: (N,) their global indices; update_index:
    number of earlier updates of the discriminator, every `every`-th of which has penalties.
    """
    params, compute = engine.params.recipe.penalties, engine.compute
    with_penalties = params.enabled and update_index % params.every == 0
    real = engine.augment_for_discriminator(real, state, "real", samples)
    fake = engine.augment_for_discriminator(fake, state, "fake", samples)
    for pixels in (real, fake):
        pixels.requires_grad_(with_penalties and bool(params.r1 or params.r2))
    with compute.double_backward() if with_penalties else compute.autocast():
        real_scores, fake_scores = _scores(state, compute.dtype, real, fake)
        loss = engine.objective.discriminator_loss(real_scores, fake_scores)
        metrics = {"loss/discriminator": loss}
        if with_penalties:
            mixing = uniform(engine.params.seed, "mix", samples)[:, 0].to(compute.dtype)
            penalties = compute_penalties(
                params, state.discriminator, real, fake, real_scores, fake_scores, mixing
            )
            metrics |= penalties
            loss = metrics["loss/discriminator"] = loss + penalty_loss(params, penalties)
    metrics["gradient_norm/discriminator"] = _minimise(loss, state.learners[1], engine.world)
    metrics |= _measure_scores(engine.objective.decision_threshold, real_scores, fake_scores)
    return {name: value.detach() for name, value in metrics.items()}


def _measure_scores(threshold: float | None, real: Tensor, fake: Tensor) -> Metrics:
    """Mean scores and accuracies of the discriminator."""
    if threshold is None:  # only the order of a pair means something
        right = {"accuracy/pairs": real > fake}
    else:
        right = {"accuracy/real": real > threshold, "accuracy/fake": fake < threshold}
    accuracies = {name: each.to(real.dtype).mean() for name, each in right.items()}
    return {"score/real": real.mean(), "score/fake": fake.mean()} | accuracies


def generator_step(
    state: TrainState, engine: Engine, fake: Tensor, real: Tensor, samples: Tensor
) -> Metrics:
    """Update the generator once.

    fake: (N, 3, H, W) pixels with the generator's graph; real: as many, for objectives that need
    their scores; samples: (N,) global indices.
    """
    compute, objective = engine.compute, engine.objective
    state.discriminator.requires_grad_(False)  # gradients pass through it
    with compute.autocast():
        fake = engine.augment_for_discriminator(fake, state, "generator", samples)
        fake_scores = state.discriminator(fake).to(compute.dtype)
        real_scores = None
        if objective.needs_real_scores:
            with torch.no_grad():
                real = engine.augment_for_discriminator(real, state, "generator real", samples)
                real_scores = state.discriminator(real).to(compute.dtype)
        loss = objective.generator_loss(fake_scores, real_scores)
    norm = _minimise(loss, state.learners[0], engine.world)
    state.discriminator.requires_grad_(True)
    return {"loss/generator": loss.detach(), "gradient_norm/generator": norm}


def train_step(state: TrainState, engine: Engine, batches: Batches) -> None:
    """Update the discriminator `critic_steps` times, then the generator, then the average.

    The generator learns from the fakes of the discriminator's last update, as in PyTorch's DCGAN
    example, which saves a pass through the generator.
    """
    params, compute = engine.params, engine.compute
    steps, images = params.recipe.critic_steps, params.images_per_step
    start = state.step * images
    for learner, optimiser in zip(
        state.learners, (params.recipe.generator, params.recipe.discriminator), strict=True
    ):
        rate = learning_rate_at(optimiser, start + images, params.images)
        set_learning_rate(learner.optimiser, rate * state.learning_rate_scale)
    metrics: Metrics = {}
    offset, count = engine.world.batch_part(params.batch_size)
    for index in range(steps):
        first = start + index * params.batch_size + offset
        samples = torch.arange(first, first + count, device=compute.device)
        real = batches(first).to(compute.dtype)
        with torch.set_grad_enabled(index == steps - 1), compute.autocast():
            fake = state.generator(engine.latents(samples))
        fake = fake.to(compute.dtype)
        update_index = state.step * steps + index
        metrics = discriminator_step(state, engine, real, fake.detach(), samples, update_index)
        _add_to_sums(state, metrics)
    _adapt_strength(state, engine, metrics)
    _add_to_sums(state, generator_step(state, engine, fake, real, samples))
    state.step += 1
    update_average(state.averaged, state.generator, images, start + images, params.average)


def _adapt_strength(state: TrainState, engine: Engine, metrics: Metrics) -> None:
    """Adapt the augmentation's strength to the discriminator's overfitting (ADA)."""
    params = engine.params.augment
    if not (params.enabled and params.ada_target):
        return
    accuracy = metrics["accuracy/real" if "accuracy/real" in metrics else "accuracy/pairs"]
    # E[sign(score - threshold)] is the share above the threshold less the share below
    state.overfitting = state.overfitting + (2 * accuracy - 1)
    state.overfitting_steps += 1
    images = state.overfitting_steps * engine.params.images_per_step
    if images >= ADA_IMAGES:
        own = {"overfitting": state.overfitting / state.overfitting_steps}
        mean = engine.world.mean(own)["overfitting"]
        state.augment_strength = adapt_strength(state.augment_strength, mean, images, params)
        state.overfitting, state.overfitting_steps = torch.zeros_like(state.overfitting), 0


def _add_to_sums(state: TrainState, metrics: Metrics) -> None:
    """Add to the sums since the last log, and note the first step whose loss is not finite."""
    for name, value in metrics.items():
        count: int | Tensor = 1
        if name.startswith("gradient_norm/"):  # fp16's scaler skips steps that overflow
            count = value.isfinite().to(value.dtype)
            value = torch.where(value.isfinite(), value, 0)
        state.metric_sums[name] = state.metric_sums.get(name, 0) + value
        state.metric_counts[name] = state.metric_counts.get(name, 0) + count
        if name.startswith("loss/"):
            first = ~value.isfinite() & (state.first_nonfinite_step == NEVER)
            state.first_nonfinite_step = torch.where(first, state.step, state.first_nonfinite_step)
