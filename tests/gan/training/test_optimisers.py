"""Optimisers as params ask for them, and schedules in closed form."""

import copy
import math

import pytest
import torch
from torch import nn

from gan.params.train import ARGUMENTS, OptimiserParams
from gan.training.state import CLASSES, build_optimiser, learning_rate_at, set_learning_rate

CPU = torch.device("cpu")
CONSTANT = {"shape": "constant", "warm_up": 0, "hold": 0.0, "floor": 0.0}
VARIANTS = [
    ("adam", {"betas": [0.5, 0.99], "eps": 1e-6, "weight_decay": 0.1, "amsgrad": True}),
    ("adamw", {"betas": [0.0, 0.9], "weight_decay": 0.2}),
    ("rmsprop", {"alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "centered": True}),
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.9, "dampening": 0.1}),
]
VARIANTS += [(name, {}) for name in ARGUMENTS]


def optimiser_params(optimiser="sgd", rate=0.01, arguments=None, **schedule):
    values = {"optimiser": optimiser, "learning_rate": rate, "arguments": arguments or {}}
    return OptimiserParams.model_validate(values | {"schedule": CONSTANT | schedule})


def quadratic(dtype=torch.float32):
    """A network with parameters of several shapes, and its loss, least (0) where all are 0.5."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 2)).to(dtype)

    def loss():
        return sum((each - 0.5).square().sum() for each in network.parameters())

    return network, loss


def steps(optimiser, loss, count):
    for _ in range(count):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    return loss().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_an_optimiser_is_torchs_own_with_the_same_arguments(name, arguments, dtype):
    (ours, our_loss), (theirs, their_loss) = quadratic(dtype), quadratic(dtype)
    before = our_loss().item()
    steps(build_optimiser(ours, optimiser_params(name, 0.02, arguments), CPU), our_loss, 25)
    slowly = {"foreach": False} if name == "rmsprop" else {"foreach": False, "fused": False}
    plain = CLASSES[name](theirs.parameters(), lr=0.02, **arguments, **slowly)
    steps(plain, their_loss, 25)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)
    assert steps(plain, their_loss, 125) < 0.2 * before


def test_the_table_of_arguments_names_what_torch_knows():
    assert set(CLASSES) == set(ARGUMENTS)
    for name, known in ARGUMENTS.items():
        defaults = CLASSES[name]([nn.Parameter(torch.ones(1))]).defaults
        assert set(known) <= set(defaults)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_one_kernel_moves_all_weights_where_torch_has_it(name):
    network, _ = quadratic()
    for device in ("cpu", "cuda", "mps"):
        optimiser = build_optimiser(network, optimiser_params(name), torch.device(device))
        assert optimiser.param_groups[0]["fused"] is True
    elsewhere = build_optimiser(network, optimiser_params(name), torch.device("meta"))
    assert not elsewhere.param_groups[0]["fused"]


@pytest.mark.parametrize(
    ("schedule", "seen", "share"),
    [
        # what belongs to the other shapes does not count
        ({"hold": 0.5, "floor": 0.1}, 4000, 1.0),
        *(({"warm_up": 400}, seen, min(1, seen / 400)) for seen in (0, 300, 500)),
        *(
            ({"shape": shape, "hold": 0.25, "floor": 0.2}, seen, share)
            for shape, seen, share in [
                ("linear", 500, 1.0),
                ("linear", 1750, 1 - 0.8 / 4),
                ("linear", 4000, 0.2),
                ("linear", 4005, 0.2),
                ("cosine", 1000, 1.0),
                ("cosine", 1750, 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2),
                ("cosine", 2500, 0.6),
            ]
        ),
    ],
)
def test_a_schedule_rises_from_nothing_and_falls_to_its_floor(schedule, seen, share):
    params = optimiser_params(rate=0.5, **schedule)
    assert learning_rate_at(params, seen, 4000) == pytest.approx(0.5 * share, rel=1e-12)


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_an_optimiser_that_was_saved_resumes_bit_for_bit_at_the_rate_that_is_set(name, arguments):
    params = optimiser_params(name, 0.02, arguments)
    network, loss = quadratic()
    optimiser = build_optimiser(network, params, CPU)
    steps(optimiser, loss, 5)
    again, again_loss = quadratic()
    again.load_state_dict(network.state_dict())
    resumed = build_optimiser(again, params, CPU)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    set_learning_rate(resumed, 0.02)
    assert steps(optimiser, loss, 5) == steps(resumed, again_loss, 5)
    assert all(map(torch.equal, network.parameters(), again.parameters()))
    before = [each.detach().clone() for each in network.parameters()]
    set_learning_rate(optimiser, 0.0)
    steps(optimiser, loss, 3)
    assert all(map(torch.equal, before, network.parameters()))
