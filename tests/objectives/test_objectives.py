"""Objectives and the gradient penalty where their values are known in closed form."""

import math

import pytest
import torch
from torch import nn

from gan.models.dcgan import Discriminator, initialise
from gan.objectives.bce import Bce
from gan.objectives.build import build_objective
from gan.objectives.hinge import Hinge
from gan.objectives.objective import score_both
from gan.objectives.penalties import gradient_penalty
from gan.objectives.wgan_gp import WganGp

OBJECTIVES = {"bce": Bce(), "wgan_gp": WganGp(10.0), "hinge": Hinge()}


class Linear(nn.Module):
    """score(x) = scale * <w, x> + bias."""

    mixes_samples = False

    def __init__(self, weight, bias=0.0):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, pixels):
        return pixels.flatten(1) @ self.weight + self.bias


class Given(nn.Module):
    """Hands out scores that are stored in the first pixel."""

    mixes_samples = False

    def forward(self, pixels):
        return pixels[:, 0, 0, 0]


def random(seed):
    return torch.Generator().manual_seed(seed)


def batch(count, seed, size=4):
    return torch.randn(count, 3, size, size, generator=random(seed))


def scored(*values):
    pixels = torch.zeros(len(values), 3, 1, 1)
    pixels[:, 0, 0, 0] = torch.tensor(values)
    return pixels.requires_grad_()


@pytest.mark.parametrize("norm", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("count", [1, 7, 64])
def test_penalty_of_a_linear_critic_is_its_norms_distance_from_one(count, norm):
    weight = torch.randn(48, generator=random(0))
    weight *= norm / weight.norm()
    mix = torch.rand(count, generator=random(3))
    penalty = gradient_penalty(Linear(weight), batch(count, 1), batch(count, 2), mix)
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_penalty_is_the_mean_of_one_norm_a_sample():
    class Quadratic(nn.Module):  # gradient at x is x itself
        def forward(self, pixels):
            return pixels.flatten(1).square().sum(1) / 2

    real, fake = batch(7, 1), batch(7, 2)
    mix = torch.rand(7, generator=random(3))
    between = torch.stack([m * r + (1 - m) * f for m, r, f in zip(mix, real, fake, strict=True)])
    expected = (between.flatten(1).norm(dim=1) - 1).square().mean().item()
    assert gradient_penalty(Quadratic(), real, fake, mix).item() == pytest.approx(expected, 1e-5)


def test_penalty_of_a_flat_critic_is_one_and_its_gradient_is_finite():
    critic = Linear(torch.zeros(48))
    penalty = gradient_penalty(critic, batch(7, 1), batch(7, 2), torch.full((7,), 0.5))
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    penalty.backward()
    assert critic.weight.grad.isfinite().all()


def test_penalty_pulls_a_steep_critic_towards_slope_one():
    weight = torch.randn(48, generator=random(0))
    weight *= 3 / weight.norm()
    critic = Linear(weight.clone())
    gradient_penalty(critic, batch(7, 1), batch(7, 2), torch.full((7,), 0.5)).backward()
    expected = 2 * (3 - 1) * weight / 3  # derivative of (||w|| - 1)^2
    assert torch.allclose(critic.weight.grad, expected, atol=1e-4)


def test_penalty_is_float32_under_bf16():
    critic = Discriminator(32, 4, "none", False)
    initialise(critic, random(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = gradient_penalty(critic, batch(2, 1, 32), batch(2, 2, 32), torch.rand(2))
    assert penalty.dtype == torch.float32
    penalty.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in critic.parameters())


ZERO = {"bce": (2 * math.log(2), math.log(2)), "hinge": (2.0, 0.0), "wgan_gp": (10.0, 0.0)}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_at_zero_scores(name):
    critic, objective = Linear(torch.zeros(48)), OBJECTIVES[name]
    losses = objective.discriminator_loss(critic, batch(5, 1), batch(5, 2), torch.rand(5))
    generated = objective.generator_loss(critic, batch(5, 2))
    on_critic, on_generator = ZERO[name]
    assert losses["loss/discriminator"].item() == pytest.approx(on_critic, abs=1e-4)
    assert generated["loss/generator"].item() == pytest.approx(on_generator, abs=1e-6)
    assert losses["score/real"].item() == losses["score/fake"].item() == 0


def test_bce_is_the_cross_entropy_of_logits():
    real, fake = [1.5, -2.0], [0.3, 4.0]
    losses = Bce().discriminator_loss(Given(), scored(*real), scored(*fake), torch.rand(2))
    sigmoid = [1 / (1 + math.exp(-x)) for x in (*real, *fake)]
    expected = -sum(map(math.log, sigmoid[:2])) / 2 - sum(math.log(1 - s) for s in sigmoid[2:]) / 2
    assert losses["loss/discriminator"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["score/real"].item() == pytest.approx(-0.25)
    assert losses["score/fake"].item() == pytest.approx(2.15)


def test_bce_keeps_a_gradient_at_logits_where_a_sigmoid_is_flat():
    fake = scored(-500.0)
    loss = Bce().generator_loss(Given(), fake)["loss/generator"]
    loss.backward()
    assert loss.item() == pytest.approx(500)
    assert fake.grad[0, 0, 0, 0].item() == pytest.approx(-1)


def test_hinge_asks_for_no_more_than_its_margins():
    real, fake = scored(1.5, 0.5), scored(-1.5, -0.5)
    loss = Hinge().discriminator_loss(Given(), real, fake, torch.rand(2))["loss/discriminator"]
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert real.grad[:, 0, 0, 0].tolist() == [0, -0.5]
    assert fake.grad[:, 0, 0, 0].tolist() == [0, 0.5]


def test_wgan_gp_is_the_difference_of_means_plus_the_weighted_penalty():
    real, fake = scored(3.0, 1.0), scored(0.5, -0.5)
    losses = WganGp(7.0).discriminator_loss(Given(), real, fake, torch.rand(2))
    assert losses["loss/gradient_penalty"].item() == pytest.approx(0, abs=1e-6)  # slope is one
    assert losses["loss/discriminator"].item() == pytest.approx(0 - 2.0, abs=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_higher_score_means_more_real(name):
    objective = OBJECTIVES[name]
    real, fake = scored(0.1, -0.2, 0.3), scored(0.2, 0.1, -0.1)
    losses = objective.discriminator_loss(Given(), real, fake, torch.rand(3))
    losses["loss/discriminator"].backward()
    assert (real.grad[:, 0, 0, 0] < 0).all()  # the critic wants real scores higher
    assert (fake.grad[:, 0, 0, 0] > 0).all()
    wanted = scored(0.2, 0.1, -0.1)
    objective.generator_loss(Given(), wanted)["loss/generator"].backward()
    assert (wanted.grad[:, 0, 0, 0] < 0).all()  # the generator wants its scores higher


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "instance"])
@pytest.mark.parametrize("counts", [(4, 4), (5, 2)])
def test_real_and_fake_are_scored_as_if_apart(norm, counts):
    critic = Discriminator(32, 4, norm, False)
    initialise(critic, random(0))
    real, fake = batch(counts[0], 1, 32), batch(counts[1], 2, 32) + 1
    real_scores, fake_scores = score_both(critic, real, fake)
    assert torch.allclose(real_scores, critic(real), rtol=1e-4, atol=1e-5)
    assert torch.allclose(fake_scores, critic(fake), rtol=1e-4, atol=1e-5)
    assert real_scores.dtype == torch.float32


@pytest.mark.parametrize("name", OBJECTIVES)
def test_params_choose_the_objective(name, make_params):
    params = make_params({"train.objective": name, "train.wgan_gp.penalty_weight": 3.0})
    objective = build_objective(params.train)
    assert type(objective) is type(OBJECTIVES[name])
    assert getattr(objective, "penalty_weight", 3.0) == 3.0
