"""A step of training reads nothing from the device, which would have to finish all work first.

It runs on torch's `meta` device, whose tensors have shapes but no values: whatever asks for a
value (`item`, `float`, `if`, `nonzero`, a copy to the host) is an error there.
"""

from contextlib import nullcontext

import pytest
import torch

from gan.devices import Compute
from gan.distributed.world import ALONE
from gan.objectives.build import build_objective
from gan.objectives.registry import OBJECTIVES
from gan.training.batches import Batches, Order, Resident
from gan.training.state import build_state
from gan.training.steps import Engine, train_step

META = Compute(torch.device("meta"), "float32")
AUGMENTED = {
    "train.augment.colour": True,
    "train.augment.translation": True,
    "train.augment.cutout": True,
    "train.augment.ada_target": 0.6,
    "train.instance_noise.deviation": 0.1,
}


@pytest.fixture(autouse=True)
def no_autocast_without_values(monkeypatch):
    """Replace torch.autocast, which has no meta device, by a null context there."""
    real = torch.autocast

    def autocast(kind, *arguments, **named):
        return nullcontext() if kind == "meta" else real(kind, *arguments, **named)

    monkeypatch.setattr(torch, "autocast", autocast)


def steps(params, images, count):
    """The state after some steps on the device without values."""
    state = build_state(params.model, 32, params.train, META)
    objective = build_objective(params.train)
    engine = Engine(params.train, objective, META, ALONE, params.model.latent_size)
    settings = params.train
    batches = Batches(images, settings.seed, settings.batch_size, settings.flip, META.device)
    for _ in range(count):
        train_step(state, engine, batches)
    return state


@pytest.mark.slow
@pytest.mark.parametrize("extras", [{}, AUGMENTED])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_reads_nothing_from_the_device(make_params, noise_images, objective, extras):
    changes = {f"train.recipes.{objective}.critic_steps": 2, "train.objective": objective}
    params = make_params(changes | extras)
    state = steps(params, noise_images, 2)
    assert state.step == 2
    held = [*state.metric_sums.values(), state.augment_strength, state.first_nonfinite_step]
    assert all(value.is_meta for value in held)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["dcgan", "upsample", "resnet"])
def test_no_family_reads_from_the_device(make_params, noise_images, family):
    changes = {f"model.{network}.family": family for network in ("generator", "discriminator")}
    if family != "dcgan":
        changes["model.generator.norm"] = "pixel"
    changes |= {
        "train.objective": "relativistic",
        "train.recipes.relativistic.spectral_norm": True,
    }
    assert steps(make_params(changes), noise_images, 2).step == 2


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "rmsprop", "sgd"])
def test_no_optimiser_reads_from_the_device(make_params, noise_images, optimiser):
    changes = {}
    for network in ("generator", "discriminator"):
        key = f"train.recipes.hinge.{network}"
        changes |= {f"{key}.optimiser": optimiser, f"{key}.arguments": {}}
        changes |= {f"{key}.schedule.shape": "cosine", f"{key}.schedule.end": 100}
    assert steps(make_params(changes), noise_images, 3).step == 3


def test_reading_a_value_would_be_an_error():
    with pytest.raises((RuntimeError, NotImplementedError)):
        float(torch.ones((), device=META.device))
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(3, device=META.device).nonzero()


def test_images_that_stay_on_the_device_are_gathered_there():
    images = torch.empty(50, 32, 32, 3, dtype=torch.uint8, device="meta")
    resident = Resident(images, Order(1, 50, True, META.device), 16)
    for first in range(0, 160, 16):
        batch = resident(first)
        assert batch.is_meta
        assert batch.shape == (16, 32, 32, 3)
