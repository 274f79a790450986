"""A step of training reads nothing from the device, which would have to finish all work first.

It runs on torch's `meta` device, whose tensors have shapes but no values: whatever asks for a
value (`item`, `float`, `if`, `nonzero`, a copy to the host) is an error there.
"""

from contextlib import nullcontext

import pytest
import torch
from tiny_trainings import AUGMENTED, run_steps

from gan.devices import Compute
from gan.models.registry import FAMILIES
from gan.objectives.registry import OBJECTIVES
from gan.training.batches import Order, Resident

META = Compute(torch.device("meta"), "float32")
NETWORKS = ("generator", "discriminator")


def with_objective(name):
    return {"train.objective": name, f"train.recipes.{name}.critic_steps": 2} | AUGMENTED


def with_family(name):
    changes = {f"model.{network}.family": name for network in NETWORKS}
    changes |= {"model.generator.norm": "pixel", "train.objective": "relativistic"}
    return changes | {"train.recipes.relativistic.spectral_norm": True}


def with_optimiser(name):
    changes = {}
    for network in NETWORKS:
        key = f"train.recipes.hinge.{network}"
        changes |= {f"{key}.optimiser": name, f"{key}.arguments": {}}
        changes |= {f"{key}.schedule.shape": "cosine"}
    return changes


CASES = {name: with_objective(name) for name in OBJECTIVES}
CASES |= {name: with_family(name) for name in FAMILIES}
CASES |= {name: with_optimiser(name) for name in ("adam", "adamw", "rmsprop", "sgd")}


@pytest.fixture(autouse=True)
def no_autocast_without_values(monkeypatch):
    """Replace torch.autocast, which has no meta device, by a null context there."""
    real = torch.autocast

    def autocast(kind, *arguments, **named):
        return nullcontext() if kind == "meta" else real(kind, *arguments, **named)

    monkeypatch.setattr(torch, "autocast", autocast)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_step_reads_nothing_from_the_device(make_params, noise_images, name):
    state = run_steps(make_params(CASES[name]), noise_images, 3, META)
    assert state.step == 3
    held = [*state.metric_sums.values(), state.augment_strength, state.first_nonfinite_step]
    assert all(value.is_meta for value in held)


def test_reading_a_value_would_be_an_error():
    for read in (float, torch.nonzero):
        with pytest.raises((RuntimeError, NotImplementedError)):
            read(torch.ones((), device=META.device))


def test_images_that_stay_on_the_device_are_gathered_there():
    images = torch.empty(50, 32, 32, 3, dtype=torch.uint8, device="meta")
    resident = Resident(images, Order(1, 50, True, META.device), 16)
    for first in range(0, 160, 16):
        batch = resident(first)
        assert batch.is_meta
        assert batch.shape == (16, 32, 32, 3)
