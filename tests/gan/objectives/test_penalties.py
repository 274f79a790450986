"""Penalties of critics whose gradients are known in closed form, and of real networks."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from gan.objectives.penalties import compute_penalties, gradient_penalty, penalty_loss
from gan.params.train import PenaltyParams

SIZE = 4
PIXELS = 3 * SIZE**2


class Linear(nn.Module):
    """score(x) = <w, x>: the gradient is w everywhere."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, pixels):
        return pixels.flatten(1) @ self.weight


class Quadratic(nn.Module):
    """score(x) = steepness ||x||^2 / 2: the gradient at x is steepness x."""

    def __init__(self, steepness=1.0):
        super().__init__()
        self.steepness = nn.Parameter(torch.tensor(steepness, dtype=torch.float64))

    def forward(self, pixels):
        return self.steepness * pixels.flatten(1).square().sum(1) / 2


class Smooth(nn.Module):
    """A small convolutional critic with second derivatives everywhere."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, 2, 1).double()
        self.last = nn.Linear(4 * (SIZE // 2) ** 2, 1).double()
        for index, parameter in enumerate(self.parameters()):
            nn.init.normal_(parameter, 0.0, 0.5, generator=random(index))

    def forward(self, pixels):
        return self.last(softplus(self.first(pixels)).flatten(1)).squeeze(1)


def random(seed):
    return torch.Generator().manual_seed(seed)


def batch(count, seed, dtype=torch.float64):
    return torch.randn(count, 3, SIZE, SIZE, generator=random(seed)).to(dtype)


def mix_of(count):
    return torch.rand(count, generator=random(3))


def steep(norm, dtype=torch.float64):
    weight = torch.randn(PIXELS, generator=random(0)).to(dtype)
    return weight * norm / weight.norm()


def penalty_params(gradient=0.0, r1=0.0, r2=0.0, every=1):
    return PenaltyParams(gradient=gradient, r1=r1, r2=r2, every=every)


def measure(params, critic, real, fake, mix=None):
    """Penalties as a training step computes them: both scored in one pass."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    real_scores, fake_scores = critic(torch.cat([real, fake])).split([len(real), len(fake)])
    mix = mix_of(len(real)) if mix is None else mix
    return compute_penalties(params, critic, real, fake, real_scores, fake_scores, mix)


def values(measured):
    return {name: value.item() for name, value in measured.items()}


@pytest.mark.parametrize("norm", [0.5, 3.0])
def test_gradient_penalty_of_a_linear_critic_is_its_norms_distance_from_one(norm):
    critic = Linear(steep(norm))
    real, fake = batch(7, 1).requires_grad_(), batch(7, 2).requires_grad_()
    penalty = gradient_penalty(critic, real, fake, mix_of(7))
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-9)
    penalty.backward()
    # the derivative of (||w|| - 1)^2 pulls it towards 1
    assert torch.allclose(critic.weight.grad, 2 * (norm - 1) * critic.weight / norm, atol=1e-9)
    assert real.grad is None
    assert fake.grad is None


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_gradient_penalty_is_the_mean_of_one_norm_a_sample_at_its_own_mixture(share):
    real, fake = batch(7, 1), batch(7, 2)
    mix = mix_of(7) if share is None else torch.full((7,), share)
    between = [m * r + (1 - m) * f for m, r, f in zip(mix.double(), real, fake, strict=True)]
    expected = sum((each.norm().item() - 1) ** 2 for each in between) / 7
    assert gradient_penalty(Quadratic(), real, fake, mix).item() == pytest.approx(expected)


def test_a_flat_critic_has_finite_gradients():
    critic, params = Linear(torch.zeros(PIXELS)), penalty_params(gradient=1.0, r1=1.0, r2=1.0)
    real, fake = batch(7, 1, torch.float32), batch(7, 2, torch.float32)
    measured = measure(params, critic, real, fake)
    expected = {"penalty/gradient": 1, "penalty/r1": 0, "penalty/r2": 0}
    assert values(measured) == pytest.approx(expected, abs=1e-5)
    penalty_loss(params, measured).backward()
    assert critic.weight.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_r1_and_r2_of_a_linear_critic_are_its_squared_norm_in_the_pixels_precision(dtype):
    params = penalty_params(gradient=10.0, r1=1.0, r2=1.0)
    real, fake = batch(7, 1, dtype), batch(7, 2, dtype)
    found = measure(params, Linear(steep(3.0, dtype)), real, fake)
    expected = {"penalty/gradient": 4, "penalty/r1": 9, "penalty/r2": 9}
    assert values(found) == pytest.approx(expected, rel=1e-5)
    assert {value.dtype for value in found.values()} == {dtype}
    assert penalty_loss(params, found).dtype == dtype


def test_r1_is_a_mean_over_real_and_r2_over_fake_pictures():
    real, fake, critic = batch(5, 1), 2 * batch(5, 2), Quadratic(1.5)
    found = measure(penalty_params(r1=1.0, r2=1.0), critic, real, fake)
    mean = real.square().sum().item() / 5
    assert found["penalty/r1"].item() == pytest.approx(1.5**2 * mean)
    assert found["penalty/r2"].item() == pytest.approx(1.5**2 * fake.square().sum().item() / 5)
    penalty_loss(penalty_params(r1=1.0), {"penalty/r1": found["penalty/r1"]}).backward()
    # r1 / 2 = steepness^2 E||x||^2 / 2
    assert critic.steepness.grad.item() == pytest.approx(1.5 * mean)


SUBSETS = [
    subset
    for length in range(4)
    for subset in itertools.combinations(("gradient", "r1", "r2"), length)
]


@pytest.mark.parametrize("subset", SUBSETS, ids=lambda subset: "+".join(subset) or "none")
def test_only_penalties_with_a_weight_are_computed_and_each_as_if_alone(subset):
    critic, real, fake = Smooth(), batch(5, 1), batch(5, 2)
    found = measure(penalty_params(**dict.fromkeys(subset, 2.0)), critic, real, fake)
    assert set(found) == {f"penalty/{name}" for name in subset}
    for name in subset:
        alone = measure(penalty_params(**{name: 1.0}), critic, real, fake)
        assert values(found)[f"penalty/{name}"] == pytest.approx(values(alone)[f"penalty/{name}"])


def test_weights_are_those_of_the_papers_times_every():
    found = {"penalty/gradient": 0.5, "penalty/r1": 3.0, "penalty/r2": 5.0}
    measured = {name: torch.tensor(value) for name, value in found.items()}
    params = penalty_params(gradient=10.0, r1=2.0, r2=0.2, every=4)
    expected = 4 * (10 * 0.5 + 2 / 2 * 3 + 0.2 / 2 * 5)
    assert penalty_loss(params, measured).item() == pytest.approx(expected)


@pytest.mark.parametrize("subset", SUBSETS[1:], ids="+".join)
def test_gradients_for_the_weights_equal_finite_differences(subset):
    critic = Smooth()
    params = penalty_params(**dict.fromkeys(subset, 3.0))
    real, fake = batch(3, 1), batch(3, 2)
    names, weights = zip(*critic.named_parameters(), strict=True)

    def total(*tensors):
        def scores(pixels):
            return torch.func.functional_call(
                critic, dict(zip(names, tensors, strict=True)), pixels
            )

        return penalty_loss(params, measure(params, scores, real, fake))

    assert torch.autograd.gradcheck(
        total, tuple(weight.detach().requires_grad_() for weight in weights)
    )


def test_norms_are_float32_where_the_critic_computes_in_bf16():
    critic = Smooth().float()
    params = penalty_params(gradient=10.0, r1=1.0, r2=1.0)
    real, fake = batch(16, 1, torch.float32), batch(16, 2, torch.float32)
    precise = values(measure(params, critic, real, fake))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert critic(real).dtype == torch.bfloat16
        found = measure(params, critic, real, fake)
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert values(found) == pytest.approx(precise, rel=0.05)


def test_a_tiny_gradient_is_not_lost_in_the_square_of_a_half_precision_number():
    def faint(pixels):
        return pixels.flatten(1).sum(1) * 1e-4  # squared, below what float16 can hold

    pixels = torch.zeros(2, 3, 8, 8, dtype=torch.float16)
    found = measure(penalty_params(r1=1.0), faint, pixels, pixels)["penalty/r1"]
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(192 * 1e-8, rel=0.01)
