"""Training on an accelerator: every precision learns, nobody waits, and it goes on as it was."""

import copy
from contextlib import closing

import numpy as np
import pytest
import torch
from tiny_trainings import (
    ANTIALIASED,
    AUGMENTED,
    CPU,
    batches_of,
    engine_of,
    fresh,
    run_steps,
)

from gan.devices import Compute
from gan.objectives.registry import OBJECTIVES
from gan.training.steps import train_step

pytestmark = pytest.mark.gpu

EXTRAS = {"plain": {}, "augmented": AUGMENTED, "antialiased": ANTIALIASED}


def weights(state):
    """All that was learned, in one vector on the CPU."""
    networks = (state.generator, state.discriminator, state.averaged)
    parts = [value for network in networks for value in network.state_dict().values()]
    return torch.cat([part.detach().double().cpu().flatten() for part in parts])


def means(state):
    counts = state.metric_counts
    return {name: float(total) / counts[name] for name, total in state.metric_sums.items()}


@pytest.mark.parametrize("extras", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_in_every_precision(
    device, make_params, noise_images, objective, precision, extras
):
    params = make_params({"train.objective": objective} | extras)
    compute = Compute(device, precision)
    before, after = (run_steps(params, noise_images, count, compute) for count in (0, 12))
    assert all(np.isfinite(value) for value in means(after).values())
    assert weights(after).isfinite().all()
    for network in ("generator", "discriminator", "averaged"):
        old, new = (getattr(state, network).parameters() for state in (before, after))
        # a bias that all scores share may have no gradient
        assert not [a for a, b in zip(old, new, strict=True) if a.ndim > 1 and torch.equal(a, b)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_gives_the_numbers_that_a_cpu_gives(device, make_params, noise_images, objective):
    params = make_params({"train.objective": objective})
    here = run_steps(params, noise_images, 1, CPU)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        there = run_steps(params, noise_images, 1, Compute(device, "float32"))
    assert means(there) == pytest.approx(means(here), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("objective", ["bce", "wgan_gp"])
def test_a_training_that_was_saved_resumes_exactly(
    device, make_params, noise_images, objective, precision
):
    """Bit for bit where the device repeats itself, else as near as it comes to that."""
    params = make_params({"train.objective": objective})
    compute = Compute(device, precision)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        whole, repeated = (run_steps(params, noise_images, 10, compute) for _ in range(2))
        half = run_steps(params, noise_images, 5, compute)
        content = copy.deepcopy(half.state_dict())
        state = fresh(params, compute)
        state.load_state_dict(content)
        resumed = run_steps(params, noise_images, 5, compute, state=state)
    unlike = (weights(whole) - weights(repeated)).abs().max().item()
    found = (weights(whole) - weights(resumed)).abs().max().item()
    print(f"{device}: {found:.1e} from resuming, {unlike:.1e} from running twice")  # noqa: T201
    assert found <= 10 * unlike
    assert resumed.step == whole.step == 10


@pytest.mark.parametrize("extras", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_does_not_wait_for_the_device(
    device,
    make_params,
    noise_images,
    image_location,
    objective,
    precision,
    extras,
    waiting_is_an_error,
):
    params = make_params({"train.objective": objective} | extras)
    compute = Compute(device, precision)
    state, engine = fresh(params, compute), engine_of(params, compute)
    with closing(batches_of(params, noise_images, compute)) as batches:
        for _ in range(3):
            train_step(state, engine, batches)
        waiting_is_an_error()
        for _ in range(12):  # more than an epoch
            train_step(state, engine, batches)
        torch.cuda.set_sync_debug_mode("default")
    assert all(np.isfinite(value) for value in means(state).values())
