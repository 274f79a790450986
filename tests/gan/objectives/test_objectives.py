"""Objectives where their losses, gradients and optima are known in closed form."""

import math

import pytest
import torch

from gan.errors import GanError
from gan.objectives.bce import Bce
from gan.objectives.hinge import Hinge
from gan.objectives.lsgan import Lsgan
from gan.objectives.objective import build_objective
from gan.objectives.registry import OBJECTIVES as NAMES
from gan.objectives.relativistic import Relativistic
from gan.objectives.wgan_gp import WganGp

OBJECTIVES = {
    "bce": Bce(),
    "wgan_gp": WganGp(),
    "hinge": Hinge(),
    "lsgan": Lsgan(),
    "relativistic": Relativistic(),
}
DECIDED = {name: OBJECTIVES[name] for name in ("bce", "hinge", "lsgan")}
DECIDED |= {"bce smoothed": Bce(0.2), "lsgan smoothed": Lsgan(0.2)}
LN2 = math.log(2)


def scores(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def gradient(loss, *inputs):
    return [each.tolist() for each in torch.autograd.grad(loss, inputs)]


def both_losses(objective, real, fake):
    shown = real if objective.needs_real_scores else None
    return objective.discriminator_loss(real, fake), objective.generator_loss(fake, shown)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize(
    ("name", "at_zero", "expected"),
    [
        (
            "bce",
            (2 * LN2, LN2),
            (
                -math.log(sigmoid(1.5) * sigmoid(-2) * sigmoid(-0.3) * sigmoid(-4)) / 2,
                -math.log(sigmoid(0.3) * sigmoid(4)) / 2,
            ),
        ),
        ("hinge", (2, 0), ((0 + 3) / 2 + (1.3 + 5) / 2, -(0.3 + 4) / 2)),
        ("wgan_gp", (0, 0), ((0.3 + 4) / 2 - (1.5 - 2) / 2, -(0.3 + 4) / 2)),
        (
            "lsgan",
            (0.5, 0.5),
            ((0.5**2 + 3**2) / 4 + (0.3**2 + 4**2) / 4, (0.7**2 + 3**2) / 4),
        ),
        (
            "relativistic",
            (LN2, LN2),
            (
                -math.log(sigmoid(1.5 - 0.3) * sigmoid(-2 - 4)) / 2,
                -math.log(sigmoid(0.3 - 1.5) * sigmoid(4 + 2)) / 2,
            ),
        ),
    ],
)
def test_losses_at_known_scores_are_those_of_the_formula(name, at_zero, expected):
    zero, objective = scores(0, 0, 0, 0, 0), OBJECTIVES[name]
    assert [x.item() for x in both_losses(objective, zero, zero)] == pytest.approx(at_zero)
    for dtype in (torch.float32, torch.float64):
        real, fake = scores(1.5, -2, dtype=dtype), scores(0.3, 4, dtype=dtype)
        losses = both_losses(objective, real, fake)
        assert [loss.item() for loss in losses] == pytest.approx(expected)
        assert all(loss.shape == () and loss.dtype == dtype for loss in losses)


def test_logistic_losses_keep_a_gradient_where_a_sigmoid_is_flat_and_hinge_has_margins():
    for name in ("bce", "relativistic"):
        fake = scores(-500.0)
        _, loss = both_losses(OBJECTIVES[name], scores(0.0), fake)
        assert loss.item() == pytest.approx(500)
        assert gradient(loss, fake) == [[-1.0]]
    real, fake = scores(1.5, 0.5), scores(-1.5, -0.5)
    assert gradient(Hinge().discriminator_loss(real, fake), real, fake) == [[0, -0.5], [0, 0.5]]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_without_a_threshold_are_those_that_only_know_differences(name):
    objective, real, fake = OBJECTIVES[name], scores(1.5, -2), scores(0.3, 4)
    here = objective.discriminator_loss(real, fake).item()
    shifted = objective.discriminator_loss(real + 3, fake + 3).item()
    assert (here == pytest.approx(shifted)) == (objective.decision_threshold is None)


@pytest.mark.parametrize("name", DECIDED)
def test_the_threshold_is_the_best_score_of_what_is_as_often_real_as_fake(name):
    objective = DECIDED[name]
    best, fake = (scores(objective.decision_threshold) for _ in range(2))
    loss = objective.discriminator_loss(best, best)
    assert gradient(loss, best)[0][0] == pytest.approx(0, abs=1e-12)
    for other in (-0.7, -0.1, 0.1, 0.7):
        assert loss.item() <= objective.discriminator_loss(best + other, best + other).item()
    # what is more often real is better scored above it
    (on_real,), (on_fake,) = gradient(objective.discriminator_loss(best, fake), best, fake)
    assert 0.45 * on_real + 0.55 * on_fake > 0 > 0.55 * on_real + 0.45 * on_fake
    if "smoothed" not in name:  # mirrored there, real and fake change places
        real, fake = scores(1.5, -2), scores(0.3, 4)
        mirrored = [2 * objective.decision_threshold - each for each in (fake, real)]
        there = objective.discriminator_loss(*mirrored).item()
        assert objective.discriminator_loss(real, fake).item() == pytest.approx(there)


def test_smoothed_labels_give_real_pictures_a_best_score_that_is_finite():
    fake = scores(-1.0)
    for objective, best in ((Bce(0.1), scores(math.log(9))), (Lsgan(0.1), scores(0.9))):
        loss = objective.discriminator_loss(best, fake)
        assert gradient(loss, best)[0][0] == pytest.approx(0, abs=1e-12)
        for other in (-0.1, 0.1):
            assert loss.item() < objective.discriminator_loss(best + other, fake).item()


@pytest.mark.parametrize("kind", [Bce, Lsgan])
def test_smoothing_is_one_sided(kind):
    fake, real = scores(0.3, -0.4), scores(1.0, 2.0)
    plain, smoothed = (
        gradient(each.discriminator_loss(real, fake), fake) for each in (kind(), kind(0.3))
    )
    assert plain == smoothed
    assert kind().generator_loss(fake).item() == kind(0.3).generator_loss(fake).item()


def test_relativistic_compares_pairs_and_not_means():
    real, fake = torch.tensor([5.0, -5.0]), torch.tensor([4.0, -6.0])
    paired = Relativistic().discriminator_loss(real, fake)
    assert paired.item() == pytest.approx(math.log1p(math.exp(-1)))  # both pairs differ by 1
    assert Relativistic().discriminator_loss(real, fake.flip(0)).item() > 4
    with pytest.raises(ValueError, match="real pictures"):
        Relativistic().generator_loss(scores(1.0), None)


@pytest.mark.parametrize("name", NAMES)
def test_params_choose_the_objective_and_smooth_labels_where_there_are_some(name, make_params):
    def build(smoothing):
        changes = {f"train.recipes.{name}.label_smoothing": smoothing}
        return build_objective(make_params(changes | {"train.objective": name}).train)

    assert type(build(0.0)) is type(OBJECTIVES[name])
    thresholds = {"bce": math.log(0.9 / 1.1), "lsgan": 0.45}
    if name in thresholds:
        assert build(0.1).decision_threshold == pytest.approx(thresholds[name])
        return
    with pytest.raises(GanError, match=rf"train\.recipes\.{name}\.label_smoothing = 0\.1: "):
        build(0.1)
