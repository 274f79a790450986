"""The training loop: what a step may touch, when results are due, and that it is resumable."""

import copy
import io
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from gan.batches import Batches
from gan.checkpoints import Origin, save_checkpoint
from gan.devices import Compute
from gan.objectives.build import build_objective
from gan.randomness import normal, uniform
from gan.training import build_state, discriminator_step, generator_step, train

CPU = Compute(torch.device("cpu"), bf16=False)
OBJECTIVES = ("bce", "wgan_gp", "hinge")
ORIGIN = Origin({}, 32, 0, "", "", "")


@dataclass
class Witness:
    """Writes down all that the loop tells; saves every checkpoint as a file would."""

    logs: list = field(default_factory=list)
    grids: list = field(default_factory=list)
    snapshots: list = field(default_factory=list)
    saved: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)

    def log(self, images_seen, measured):
        self.logs.append((images_seen, measured))

    def grid(self, images_seen, averaged):
        self.grids.append(images_seen)

    def snapshot(self, images_seen, averaged):
        self.snapshots.append((images_seen, copy.deepcopy(averaged.state_dict())))

    def checkpoint(self, images_seen, state):
        self.saved[images_seen] = saved(state)

    def stepped(self, images_seen):
        self.steps.append(images_seen)


def saved(state):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.pt"
        save_checkpoint(path, ORIGIN, state.averaged, state.state_dict())
        return path.read_bytes()


def loaded(params, content):
    state = fresh(params)
    content = torch.load(io.BytesIO(content), weights_only=True)
    state.load_state_dict(content["state"])
    state.averaged.load_state_dict(content["averaged"])
    return state


def fresh(params, size=32):
    return build_state(params.model, size, params.train.seed, params.train.recipe, CPU.device)


def trained(params, images, state=None):
    witness = Witness()
    state = state or fresh(params, images.shape[1])
    settings = params.train
    batches = Batches(images, settings.seed, settings.batch_size, settings.flip, CPU.device)
    train(state, build_objective(settings), CPU, batches, settings, witness)
    return state, witness


def weights(network):
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def same(before, after):
    return all(torch.equal(value, after[name]) for name, value in before.items())


def inputs(params, count=8):
    samples = torch.arange(count)
    real = torch.rand(count, 3, 32, 32) * 2 - 1
    return (
        real,
        normal(1, "latents", samples, params.model.latent_size),
        uniform(1, "m", samples)[:, 0],
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_discriminator_step_changes_the_discriminator_only(make_params, objective):
    params = make_params({"train.objective": objective})
    state = fresh(params)
    generator, averaged = weights(state.generator), copy.deepcopy(state.averaged.state_dict())
    before = weights(state.discriminator)
    losses = discriminator_step(state, build_objective(params.train), CPU, *inputs(params))
    assert same(generator, weights(state.generator))
    assert all(parameter.grad is None for parameter in state.generator.parameters())
    assert same(averaged, state.averaged.state_dict())
    assert not same(before, weights(state.discriminator))
    assert not any(value.requires_grad for value in losses.values())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_generator_step_changes_the_generator_only(make_params, objective):
    params = make_params({"train.objective": objective})
    state = fresh(params)
    before, discriminator = weights(state.generator), weights(state.discriminator)
    _, latents, _ = inputs(params)
    losses = generator_step(state, build_objective(params.train), CPU, latents)
    assert same(discriminator, weights(state.discriminator))
    assert all(parameter.grad is None for parameter in state.discriminator.parameters())
    assert all(parameter.requires_grad for parameter in state.discriminator.parameters())
    assert not same(before, weights(state.generator))
    assert not any(value.requires_grad for value in losses.values())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_moves_scores_the_way_its_network_wants(make_params, objective):
    params = make_params({"train.objective": objective})
    state, chosen = fresh(params), build_objective(params.train)
    real, latents, mix = inputs(params)

    def advantage():
        with torch.no_grad():
            fake = state.generator(latents)
            return (state.discriminator(real).mean() - state.discriminator(fake).mean()).item()

    start = advantage()
    for _ in range(20):
        discriminator_step(state, chosen, CPU, real, latents, mix)
    won = advantage()
    for _ in range(20):
        generator_step(state, chosen, CPU, latents)
    assert won > start
    assert advantage() < won


class Counting:
    """Hands batches on and writes down which samples were asked for."""

    def __init__(self, batches):
        self.batches, self.asked = batches, []

    def __call__(self, first):
        self.asked += range(first, first + self.batches.batch_size)
        return self.batches(first)


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_the_critic_sees_every_sample_once_and_in_order(make_params, noise_images, critic_steps):
    params = make_params({"train.hinge.critic_steps": critic_steps, "train.images": 48})
    batches = Counting(Batches(noise_images, 1, 8, True, CPU.device))
    state, witness = fresh(params), Witness()
    train(state, build_objective(params.train), CPU, batches, params.train, witness)
    assert batches.asked == list(range(48))
    assert state.step == 6 // critic_steps
    assert witness.steps == list(range(8 * critic_steps, 49, 8 * critic_steps))
    discriminated = state.discriminator_optimiser.state_dict()["state"][0]["step"].item()
    generated = state.generator_optimiser.state_dict()["state"][0]["step"].item()
    assert (discriminated, generated) == (6, 6 // critic_steps)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_training_that_was_cut_in_two_equals_one_that_was_not(
    make_params, noise_images, objective
):
    changes = {"train.objective": objective, "train.images": 240, "train.wgan_gp.critic_steps": 2}
    # neither logs nor grids fall together with the checkpoint from which it goes on
    changes |= {"train.log_every": 48, "train.grid_every": 64, "train.checkpoint_every": 80}
    params = make_params(changes)
    whole, heard = trained(params, noise_images)
    again, rest = trained(params, noise_images, loaded(params, heard.saved[80]))
    assert saved(again) == heard.saved[240] == saved(whole)
    assert rest.logs == [each for each in heard.logs if each[0] > 80]
    assert rest.grids == [seen for seen in heard.grids if seen > 80]
    assert [seen for seen, _ in rest.snapshots] == [s for s, _ in heard.snapshots if s > 80]
    for (_, mine), (_, theirs) in zip(rest.snapshots[::-1], heard.snapshots[::-1], strict=False):
        assert same(mine, theirs)


def test_a_longer_training_from_a_finished_one_equals_one_that_was_long(make_params, noise_images):
    short, long = make_params({"train.images": 88}), make_params({"train.images": 240})
    _, first = trained(short, noise_images)
    _, heard = trained(long, noise_images)
    _, rest = trained(long, noise_images, loaded(long, first.saved[88]))
    assert rest.saved[240] == heard.saved[240]
    assert first.logs + rest.logs == heard.logs


def test_a_state_that_is_at_the_end_only_shows_the_end_again(make_params, noise_images):
    params = make_params()
    _, heard = trained(params, noise_images)
    _, again = trained(params, noise_images, loaded(params, heard.saved[192]))
    assert (again.logs, again.grids, again.steps) == ([], [192], [])
    assert same(again.snapshots[0][1], heard.snapshots[-1][1])
    assert again.saved == {192: heard.saved[192]}


def test_results_are_due_where_their_intervals_are_crossed(make_params, noise_images):
    intervals = {"log": 20, "grid": 50, "snapshot": 70, "checkpoint": 100}
    params = make_params({f"train.{k}_every": v for k, v in intervals.items()})
    _, heard = trained(params, noise_images)
    assert [seen for seen, _ in heard.logs] == [24, 40, 64, 80, 104, 120, 144, 160, 184]
    assert heard.grids == [0, 56, 104, 152, 192]
    assert [seen for seen, _ in heard.snapshots] == [72, 144, 192]
    assert list(heard.saved) == [104, 192]


def test_an_interval_shorter_than_a_step_is_due_every_step(make_params, noise_images):
    _, heard = trained(make_params({"train.log_every": 1, "train.images": 40}), noise_images)
    assert [seen for seen, _ in heard.logs] == [8, 16, 24, 32, 40]


def test_a_training_ends_with_the_first_step_that_reaches_its_length(make_params, noise_images):
    state, heard = trained(make_params({"train.images": 33}), noise_images)
    assert state.step == 5
    assert heard.snapshots[-1][0] == max(heard.saved) == 40


def test_a_log_is_the_mean_since_the_last_one(make_params, noise_images):
    _, fine = trained(make_params({"train.log_every": 8}), noise_images)
    _, coarse = trained(make_params({"train.log_every": 32}), noise_images)
    for i, (seen, measured) in enumerate(coarse.logs):
        parts = [each for _, each in fine.logs[4 * i : 4 * i + 4]]
        assert seen == 32 * (i + 1)
        for name, value in measured.items():
            assert value == pytest.approx(np.mean([part[name] for part in parts]), rel=1e-5)


def test_watching_closely_does_not_change_what_is_learned(make_params, noise_images):
    rare, _ = trained(make_params(), noise_images)
    often, _ = trained(
        make_params({"train.grid_every": 8, "train.snapshot_every": 8}), noise_images
    )
    for network in ("generator", "discriminator", "averaged"):
        assert same(vars(rare)[network].state_dict(), vars(often)[network].state_dict())


def test_seeds_give_different_networks_and_equal_seeds_equal_ones(make_params, noise_images):
    params = make_params({"train.images": 16})
    state, _ = trained(params, noise_images)
    same_seed, _ = trained(params, noise_images)
    other, _ = trained(make_params({"train.images": 16, "train.seed": 2}), noise_images)
    assert saved(state) == saved(same_seed)
    assert not torch.equal(state.generator.project.weight, other.generator.project.weight)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_images_of_one_colour_are_learned(make_params, objective):
    changes = {"train.objective": objective, "train.images": 3200, "train.batch_size": 8}
    changes |= {"train.average_images": 200, "train.wgan_gp.critic_steps": 2}
    changes |= {f"train.{name}_every": 3200 for name in ("log", "grid", "snapshot", "checkpoint")}
    changes |= {
        f"train.{objective}.{n}_learning_rate": 1e-3 for n in ("generator", "discriminator")
    }
    colour = np.array([200, 60, 120], dtype=np.uint8)
    images = np.broadcast_to(colour, (8, 32, 32, 3)).copy()
    params = make_params(changes)
    start = fresh(params)
    state, _ = trained(params, images)
    latents = normal(9, "test", torch.arange(64), params.model.latent_size)
    with torch.no_grad():
        before = (start.averaged(latents).mean((0, 2, 3)) + 1) * 127.5
        after = (state.averaged(latents).mean((0, 2, 3)) + 1) * 127.5
    target = torch.from_numpy(colour).float()
    assert (before - target).abs().max() > 60
    assert (after - target).abs().max() < 0.4 * (before - target).abs().max()
