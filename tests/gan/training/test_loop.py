"""The training loop: what a step may touch, when results are due, and that it is resumable."""

import copy
import io
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_trainings import ANTIALIASED, CPU, batches_of, engine_of, fresh

from gan.checkpoints import Origin, save_checkpoint
from gan.devices import Compute
from gan.objectives.registry import OBJECTIVES
from gan.randomness import normal
from gan.training.batches import Batches
from gan.training.loop import DivergedError, train
from gan.training.steps import discriminator_step, generator_step

ORIGIN = Origin({}, 32, 0, "", "", "")


@dataclass
class Witness:
    """Writes down all that the loop tells; saves every checkpoint as a file would."""

    logs: list = field(default_factory=list)
    grids: dict = field(default_factory=dict)
    snapshots: list = field(default_factory=list)
    saved: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)
    stop_at: int | None = None

    def log(self, images_seen, measured):
        self.logs.append((images_seen, measured))

    def grid(self, images_seen, images, measured):
        self.grids[images_seen] = measured

    def snapshot(self, images_seen, averaged):
        self.snapshots.append((images_seen, copy.deepcopy(averaged.state_dict())))

    def checkpoint(self, images_seen, state):
        self.saved[images_seen] = save(state)

    def step_done(self, images_seen):
        self.steps.append(images_seen)

    def should_stop(self):
        return self.stop_at is not None and bool(self.steps) and self.steps[-1] >= self.stop_at


def save(state):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.pt"
        save_checkpoint(path, ORIGIN, state.averaged, state.state_dict())
        return path.read_bytes()


def load(params, content):
    state = fresh(params)
    content = torch.load(io.BytesIO(content), weights_only=True)
    state.load_state_dict(content["state"])
    state.averaged.load_state_dict(content["averaged"])
    return state


def run_training(params, images, state=None, stop_at=None, compute=CPU):
    witness = Witness(stop_at=stop_at)
    state = state or fresh(params, compute)
    ended = train(state, engine_of(params, compute), batches_of(params, images), witness)
    assert ended is (stop_at is None or state.step * params.train.images_per_step >= 192)
    return state, witness


def weights(network):
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def same(before, after):
    return all(torch.equal(value, after[name]) for name, value in before.items())


def inputs(params, count=8):
    samples = torch.arange(count)
    real = torch.rand(count, 3, 32, 32) * 2 - 1
    return real, normal(1, "latents", samples, params.model.latent_size), samples


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_changes_its_own_network_only_and_the_scores_as_that_wants(make_params, objective):
    params = make_params({"train.objective": objective})
    state, engine, (real, latents, samples) = fresh(params), engine_of(params), inputs(params)
    averaged = copy.deepcopy(state.averaged.state_dict())

    def advantage():
        with torch.no_grad():
            fake = state.generator(latents)
            return (state.discriminator(real).mean() - state.discriminator(fake).mean()).item()

    advantages = [advantage()]
    for mine, other in (("discriminator", "generator"), ("generator", "discriminator")):
        mine, other = getattr(state, mine), getattr(state, other)
        before, still = weights(mine), weights(other)
        other.zero_grad()
        for index in range(20):
            fake = state.generator(latents)
            if mine is state.generator:
                measured = generator_step(state, engine, fake, real, samples)
            else:
                measured = discriminator_step(state, engine, real, fake.detach(), samples, index)
        assert not same(before, weights(mine))
        assert same(still, weights(other))
        assert all(each.grad is None and each.requires_grad for each in other.parameters())
        assert not any(value.requires_grad for value in measured.values())
        advantages.append(advantage())
    assert same(averaged, state.averaged.state_dict())
    assert advantages[0] < advantages[1] > advantages[2]


def test_the_norm_of_the_gradient_is_that_of_the_step_that_it_makes(make_params):
    plain = {"optimiser": "sgd", "learning_rate": 0.5, "arguments": {}}
    plain["schedule"] = {"shape": "constant", "warm_up": 0, "hold": 0.0, "floor": 0.0}
    params = make_params(
        {f"train.recipes.hinge.{n}": plain for n in ("generator", "discriminator")}
    )
    state, engine, (real, latents, samples) = fresh(params), engine_of(params), inputs(params)
    before = weights(state.discriminator), weights(state.generator)
    fake = state.generator(latents)
    measured = discriminator_step(state, engine, real, fake.detach(), samples, 0)
    measured |= generator_step(state, engine, fake, real, samples)
    for first, learner in zip(before[::-1], state.learners, strict=True):
        after = weights(learner.network)
        move = float(sum(((after[name] - value) ** 2).sum() for name, value in first.items()))
        norm = float(measured[f"gradient_norm/{learner.name}"])
        assert move**0.5 == pytest.approx(0.5 * norm, rel=1e-4)


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_the_critic_sees_every_sample_once_and_in_order(
    make_params, noise_images, monkeypatch, critic_steps
):
    asked, real = [], Batches.__call__

    def noting(batches, first):
        asked.append(first)
        return real(batches, first)

    monkeypatch.setattr(Batches, "__call__", noting)
    params = make_params({"train.recipes.hinge.critic_steps": critic_steps, "train.images": 48})
    state, witness = run_training(params, noise_images)
    assert asked == list(range(0, 48, 8))
    assert witness.steps == list(range(8 * critic_steps, 49, 8 * critic_steps))
    updates = [each.optimiser.state_dict()["state"][0]["step"].item() for each in state.learners]
    assert updates == [6 // critic_steps, 6]


EVERYTHING = {
    "train.objective": "relativistic",
    "train.recipes.relativistic.critic_steps": 2,
    "train.recipes.relativistic.spectral_norm": True,
    "train.recipes.relativistic.penalties": {"gradient": 1.0, "r1": 1.0, "r2": 1.0, "every": 3},
    "train.augment.colour": True,
    "train.augment.translation": True,
    "train.augment.cutout": True,
    "train.augment.strength": 0.0,
    "train.augment.ada_target": 0.05,
    "train.augment.ada_images": 500,
    "train.instance_noise.deviation": 0.2,
    "train.instance_noise.until": 200,
    "train.early_stop.patience": 100,
    "train.recipes.relativistic.generator.schedule": {
        "shape": "cosine",
        "warm_up": 50,
        "hold": 0.25,
        "floor": 0.1,
    },
    "train.recipes.relativistic.discriminator.optimiser": "rmsprop",
    "train.recipes.relativistic.discriminator.arguments": {"alpha": 0.9},
}
RESUMED = {name: {"train.objective": name} for name in OBJECTIVES}
RESUMED["wgan_gp"] |= {"train.recipes.wgan_gp.critic_steps": 2}
RESUMED["everything"] = EVERYTHING
RESUMED["antialiased, everything"] = EVERYTHING | ANTIALIASED


@pytest.mark.parametrize("name", RESUMED)
def test_a_training_that_was_cut_in_two_equals_one_that_was_not(make_params, noise_images, name):
    # neither logs nor grids fall together with the checkpoint from which it goes on
    intervals = {"train.log_every": 48, "train.grid_every": 64, "train.checkpoint_every": 80}
    params = make_params(RESUMED[name] | intervals | {"train.images": 320})
    whole, heard = run_training(params, noise_images)
    again, rest = run_training(params, noise_images, load(params, heard.saved[80]))
    assert save(again) == heard.saved[320] == save(whole)
    assert rest.logs == [each for each in heard.logs if each[0] > 80]
    assert list(rest.grids) == [seen for seen in heard.grids if seen > 80]
    assert [seen for seen, _ in rest.snapshots] == [s for s, _ in heard.snapshots if s > 80]
    for (_, mine), (_, theirs) in zip(rest.snapshots[::-1], heard.snapshots[::-1], strict=False):
        assert same(mine, theirs)
    if "everything" in name:
        assert float(whole.augment_strength) > 0
        assert {"penalty/gradient", "penalty/r1", "penalty/r2"} <= heard.logs[0][1].keys()


def test_a_longer_training_from_a_finished_one_equals_one_that_was_long(make_params, noise_images):
    short, long = make_params({"train.images": 88}), make_params({"train.images": 240})
    _, first = run_training(short, noise_images)
    _, heard = run_training(long, noise_images)
    _, rest = run_training(long, noise_images, load(long, first.saved[88]))
    assert rest.saved[240] == heard.saved[240]
    assert first.logs + rest.logs == heard.logs
    # one that is at its end only shows the end again
    _, again = run_training(short, noise_images, load(short, first.saved[88]))
    assert (again.logs, list(again.grids), again.steps) == ([], [88], [])
    assert same(again.snapshots[0][1], first.snapshots[-1][1])
    assert again.saved == {88: first.saved[88]}


def test_a_training_that_was_asked_to_stop_resumes_as_if_it_had_not_stopped(
    make_params, noise_images
):
    params = make_params({"train.log_every": 24})
    whole, heard = run_training(params, noise_images)
    _, cut = run_training(params, noise_images, stop_at=52)
    again, rest = run_training(params, noise_images, load(params, cut.saved[56]))
    assert save(again) == save(whole)
    assert cut.logs + rest.logs == heard.logs
    assert cut.grids | rest.grids == heard.grids


def test_results_are_due_where_their_intervals_are_crossed(make_params, noise_images):
    intervals = {"log": 20, "grid": 50, "snapshot": 70, "checkpoint": 100}
    changes = {f"train.{k}_every": v for k, v in intervals.items()}
    # the first step that reaches the length is the last
    state, heard = run_training(make_params(changes | {"train.images": 189}), noise_images)
    assert state.step == 24
    assert [seen for seen, _ in heard.logs] == [24, 40, 64, 80, 104, 120, 144, 160, 184]
    assert list(heard.grids) == [0, 56, 104, 152, 192]
    assert [seen for seen, _ in heard.snapshots] == [72, 144, 192]
    assert list(heard.saved) == [104, 192]


@pytest.mark.slow
def test_watching_closely_changes_only_what_is_shown(make_params, noise_images):
    rare, coarse = run_training(make_params({"train.log_every": 32}), noise_images)
    closely = {f"train.{name}_every": 8 for name in ("log", "grid", "snapshot")}
    often, fine = run_training(make_params(closely), noise_images)
    for network in ("generator", "discriminator", "averaged"):
        assert same(getattr(rare, network).state_dict(), getattr(often, network).state_dict())
    for i, (seen, measured) in enumerate(coarse.logs):  # a log is the mean since the last one
        parts = [each for _, each in fine.logs[4 * i : 4 * i + 4]]
        assert seen == 32 * (i + 1)
        for name, value in measured.items():
            assert value == pytest.approx(np.mean([part[name] for part in parts]), rel=1e-5)


def test_steps_that_the_scaler_of_fp16_leaves_out_do_not_spoil_the_norms(
    make_params, noise_images
):
    params, compute = make_params({"train.log_every": 192}), Compute(CPU.device, "fp16")
    state = fresh(params, compute)
    for learner in state.learners:
        learner.scaler.load_state_dict(learner.scaler.state_dict() | {"scale": 2.0**28})
    _, heard = run_training(params, noise_images, state, compute=compute)
    ((_, measured),) = heard.logs
    for learner in state.learners:
        assert learner.scaler.get_scale() < 2.0**28  # it did leave some out
        assert 0 < measured[f"gradient_norm/{learner.name}"] < np.inf


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_images_of_one_colour_are_learned(make_params, objective):
    changes = {"train.objective": objective, "train.images": 3200, "train.batch_size": 8}
    changes |= {"train.average.half_life": 200, "train.recipes.wgan_gp.critic_steps": 2}
    changes |= {f"train.{name}_every": 3200 for name in ("log", "grid", "snapshot", "checkpoint")}
    for network in ("generator", "discriminator"):
        changes[f"model.{network}.family"] = "dcgan"  # with its small weights 1e-3 is quick
        changes[f"train.recipes.{objective}.{network}.learning_rate"] = 1e-3
    colour = np.array([200, 60, 120], dtype=np.uint8)
    params = make_params(changes)
    start = fresh(params)
    state, _ = run_training(params, np.broadcast_to(colour, (8, 32, 32, 3)).copy())
    latents = normal(9, "test", torch.arange(64), params.model.latent_size)
    with torch.no_grad():
        means = [each.averaged(latents).mean((0, 2, 3)) * 127.5 + 127.5 for each in (start, state)]
    before, after = ((mean - torch.from_numpy(colour)).abs().max() for mean in means)
    assert before > 60
    assert after < 0.4 * before


def test_lazy_penalties_are_due_every_so_many_updates_of_the_discriminator(
    make_params, noise_images
):
    penalties = {"gradient": 0.0, "r1": 1.0, "r2": 0.0, "every": 4}
    changes = {"train.recipes.hinge.critic_steps": 2, "train.recipes.hinge.penalties": penalties}
    params = make_params(changes | {"train.log_every": 16, "train.images": 96})
    _, heard = run_training(params, noise_images)
    assert ["penalty/r1" in measured for _, measured in heard.logs] == [True, False] * 3


def test_the_learning_rate_follows_the_schedule_and_the_scale(make_params, noise_images):
    schedule = {"shape": "linear", "warm_up": 0, "hold": 0.0, "floor": 0.5}
    params = make_params({"train.recipes.hinge.generator.schedule": schedule})
    state = fresh(params)
    state.learning_rate_scale = 0.5
    _, heard = run_training(params, noise_images, state)
    base = params.train.recipe.generator.learning_rate
    rates = [measured["learning_rate/generator"] for _, measured in heard.logs]
    assert rates == pytest.approx([0.5 * base * (1 - 0.5 * seen / 192) for seen, _ in heard.logs])
    assert heard.logs[-1][1]["learning_rate/discriminator"] == pytest.approx(0.5 * base)


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_numbers_that_are_not_finite_are_found_before_anything_is_kept(
    make_params, noise_images, part
):
    params, witness = make_params({"train.log_every": 1000}), Witness()
    state = fresh(params)
    with torch.no_grad():
        next(getattr(state, part).parameters()).fill_(float("nan"))
    state.step = 1  # at the very beginning there is a grid
    with pytest.raises(DivergedError, match="at 8 images seen"):
        train(state, engine_of(params), batches_of(params, noise_images), witness)
    assert (witness.saved, witness.snapshots, witness.logs) == ({}, [], [])
    assert witness.steps[-1] <= params.train.checkpoint_every
    state = fresh(params)  # a weight is named though no loss shows it
    with torch.no_grad():
        list(state.generator.parameters())[-1][0] = float("inf")
    with pytest.raises(DivergedError, match=r"weight generator\.layers"):
        run_training(params, noise_images, state, stop_at=0)


def build_collapsed_state(params):
    """A state whose generator paints one picture, after grids that were diverse."""
    state = fresh(params)
    with torch.no_grad():
        for network in (state.generator, state.averaged):
            network.project.weight.zero_()
    state.best_diversity = 50.0
    return state


def test_pictures_that_are_alike_raise_the_alarm_and_end_a_training_without_patience(
    make_params, noise_images
):
    changes = {"train.early_stop.patience": 2, "train.grid_every": 16, "train.images": 1000}
    changes |= {"train.recipes.hinge.generator.learning_rate": 1e-12}
    params = make_params(changes)
    _, heard = run_training(params, noise_images, build_collapsed_state(params))
    assert list(heard.grids) == [0, 16, 32]  # the first one is of networks that never learned
    assert all(measured["alarm/collapse"] for measured in heard.grids.values())
    assert max(heard.saved) == heard.snapshots[-1][0] == 32
    patient = make_params(changes | {"train.early_stop.patience": 0, "train.images": 64})
    _, heard = run_training(patient, noise_images, build_collapsed_state(patient))
    assert list(heard.grids) == [0, 16, 32, 48, 64]


def test_a_discriminator_that_is_always_right_raises_the_alarm(make_params, noise_images):
    changes = {"train.recipes.hinge.generator.learning_rate": 1e-12}
    params = make_params(changes | {"train.recipes.hinge.discriminator.learning_rate": 0.01})
    _, heard = run_training(params, noise_images)
    alarms = [measured["alarm/discriminator_wins"] for _, measured in heard.logs]
    right = [min(m["accuracy/real"], m["accuracy/fake"]) for _, m in heard.logs]
    assert alarms[-1] == 1
    assert alarms == [float(share >= 0.98) for share in right]
