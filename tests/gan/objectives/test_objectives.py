"""Objectives where their losses, gradients and optima are known in closed form."""

import math

import pytest
import torch

from gan.errors import GanError
from gan.objectives.bce import Bce
from gan.objectives.build import build_objective
from gan.objectives.hinge import Hinge
from gan.objectives.lsgan import Lsgan
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
UNDECIDED = {
    "bce": Bce(),
    "bce smoothed": Bce(0.2),
    "hinge": Hinge(),
    "lsgan": Lsgan(),
    "lsgan smoothed": Lsgan(0.2),
}
LN2 = math.log(2)


def scores(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def gradient(loss, *inputs):
    return [each.tolist() for each in torch.autograd.grad(loss, inputs)]


def generator_loss(objective, fake, real):
    return objective.generator_loss(fake, real if objective.needs_real_scores else None)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_every_objective_that_has_a_name_is_tested_here():
    assert set(OBJECTIVES) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "on_discriminator", "on_generator"),
    [
        ("bce", 2 * LN2, LN2),
        ("hinge", 2, 0),
        ("wgan_gp", 0, 0),
        ("lsgan", 0.5, 0.5),
        ("relativistic", LN2, LN2),
    ],
)
def test_losses_at_zero_scores(name, on_discriminator, on_generator):
    zero, objective = scores(0, 0, 0, 0, 0), OBJECTIVES[name]
    assert objective.discriminator_loss(zero, zero).item() == pytest.approx(on_discriminator)
    assert generator_loss(objective, zero, zero).item() == pytest.approx(on_generator)


@pytest.mark.parametrize(
    ("name", "on_discriminator", "on_generator"),
    [
        (
            "bce",
            -math.log(sigmoid(1.5) * sigmoid(-2)) / 2 - math.log(sigmoid(-0.3) * sigmoid(-4)) / 2,
            -math.log(sigmoid(0.3) * sigmoid(4)) / 2,
        ),
        ("hinge", (0 + 3) / 2 + (1.3 + 5) / 2, -(0.3 + 4) / 2),
        ("wgan_gp", (0.3 + 4) / 2 - (1.5 - 2) / 2, -(0.3 + 4) / 2),
        ("lsgan", (0.5**2 + 3**2) / 4 + (0.3**2 + 4**2) / 4, (0.7**2 + 3**2) / 4),
        (
            "relativistic",
            -math.log(sigmoid(1.5 - 0.3) * sigmoid(-2 - 4)) / 2,
            -math.log(sigmoid(0.3 - 1.5) * sigmoid(4 + 2)) / 2,
        ),
    ],
)
def test_losses_at_known_scores_are_those_of_the_formula(name, on_discriminator, on_generator):
    real, fake, objective = scores(1.5, -2), scores(0.3, 4), OBJECTIVES[name]
    assert objective.discriminator_loss(real, fake).item() == pytest.approx(on_discriminator)
    assert generator_loss(objective, fake, real).item() == pytest.approx(on_generator)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_higher_score_means_more_real(name):
    objective, real, fake = OBJECTIVES[name], scores(0.1, -0.2, 0.3), scores(0.2, 0.1, 0.4)
    loss = objective.discriminator_loss(real, fake)
    on_real, on_fake = gradient(loss, real, fake)
    assert all(each < 0 for each in on_real)  # the discriminator wants real scores higher
    assert all(each > 0 for each in on_fake)
    (wanted,) = gradient(generator_loss(objective, fake, real), fake)
    assert all(each < 0 for each in wanted)  # the generator wants its scores higher


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_are_0d_and_keep_the_precision_of_the_scores(name, dtype):
    real, fake = scores(1, -2, dtype=dtype), scores(0.3, 4, dtype=dtype)
    losses = [
        OBJECTIVES[name].discriminator_loss(real, fake),
        generator_loss(OBJECTIVES[name], fake, real),
    ]
    assert all(loss.shape == () and loss.dtype == dtype for loss in losses)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_mean_of_two_halves_is_the_whole_so_that_processes_can_share_a_batch(name):
    objective = OBJECTIVES[name]
    real, fake = torch.randn(2, 8, generator=torch.Generator().manual_seed(0)).double()
    halves = list(zip(real.chunk(2), fake.chunk(2), strict=True))
    apart = [objective.discriminator_loss(*half) for half in halves]
    made = [generator_loss(objective, f, r) for r, f in halves]
    assert objective.discriminator_loss(real, fake).item() == pytest.approx(sum(apart).item() / 2)
    assert generator_loss(objective, fake, real).item() == pytest.approx(sum(made).item() / 2)


@pytest.mark.parametrize("name", ["bce", "relativistic"])
def test_logistic_losses_keep_a_gradient_where_a_sigmoid_is_flat(name):
    real, fake = scores(0.0), scores(-500.0)
    loss = generator_loss(OBJECTIVES[name], fake, real)
    assert loss.item() == pytest.approx(500)
    assert gradient(loss, fake) == [[-1.0]]


def test_hinge_asks_for_no_more_than_its_margins():
    real, fake = scores(1.5, 0.5), scores(-1.5, -0.5)
    loss = Hinge().discriminator_loss(real, fake)
    assert loss.item() == pytest.approx(0.5)
    assert gradient(loss, real, fake) == [[0, -0.5], [0, 0.5]]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_without_a_midpoint_are_those_that_only_know_differences(name):
    objective, real, fake = OBJECTIVES[name], scores(1.5, -2), scores(0.3, 4)
    here = objective.discriminator_loss(real, fake).item()
    shifted = objective.discriminator_loss(real + 3, fake + 3).item()
    assert (here == pytest.approx(shifted)) == (objective.decision_threshold is None)


@pytest.mark.parametrize("name", UNDECIDED)
def test_the_midpoint_is_the_best_score_of_what_is_as_often_real_as_fake(name):
    objective = UNDECIDED[name]
    best = scores(objective.decision_threshold)
    loss = objective.discriminator_loss(best, best)
    assert gradient(loss, best)[0][0] == pytest.approx(0, abs=1e-12)
    for other in (-0.7, -0.1, 0.1, 0.7):
        assert loss.item() <= objective.discriminator_loss(best + other, best + other).item()


@pytest.mark.parametrize("name", ["bce", "hinge", "lsgan"])
def test_mirrored_at_the_midpoint_real_and_fake_change_places(name):
    objective, real, fake = UNDECIDED[name], scores(1.5, -2), scores(0.3, 4)
    mirrored = [2 * objective.decision_threshold - each for each in (fake, real)]
    here, there = objective.discriminator_loss(real, fake), objective.discriminator_loss(*mirrored)
    assert here.item() == pytest.approx(there.item())


@pytest.mark.parametrize("name", UNDECIDED)
@pytest.mark.parametrize("share", [0.45, 0.55])
def test_what_is_more_often_real_is_better_scored_above_the_midpoint(name, share):
    objective = UNDECIDED[name]
    real, fake = scores(objective.decision_threshold), scores(objective.decision_threshold)
    (on_real,), (on_fake,) = gradient(objective.discriminator_loss(real, fake), real, fake)
    slope = share * on_real + (1 - share) * on_fake  # of the loss of a picture that is often real
    assert (slope < 0) == (share > 0.5)


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.3])
def test_smoothed_labels_give_real_pictures_a_best_logit_that_is_finite(smoothing):
    best = scores(math.log((1 - smoothing) / smoothing))
    fake = scores(-1.0)
    loss = Bce(smoothing).discriminator_loss(best, fake)
    assert gradient(loss, best)[0][0] == pytest.approx(0, abs=1e-12)
    assert loss.item() < Bce(smoothing).discriminator_loss(best + 0.1, fake).item()
    assert loss.item() < Bce(smoothing).discriminator_loss(best - 0.1, fake).item()


def test_smoothed_labels_of_least_squares_are_the_best_scores():
    loss = Lsgan(0.1).discriminator_loss(scores(0.9, 0.9), scores(0.0, 0.0))
    assert loss.item() == pytest.approx(0)


@pytest.mark.parametrize("kind", [Bce, Lsgan])
def test_smoothing_is_one_sided(kind):
    fake, real = scores(0.3, -0.4), scores(1.0, 2.0)
    plain = gradient(kind().discriminator_loss(real, fake), fake)
    smoothed = gradient(kind(0.3).discriminator_loss(real, fake), fake)
    assert plain == smoothed
    assert kind().generator_loss(fake).item() == kind(0.3).generator_loss(fake).item()


def test_relativistic_compares_pairs_and_not_means():
    real, fake = torch.tensor([5.0, -5.0]), torch.tensor([4.0, -6.0])
    paired = Relativistic().discriminator_loss(real, fake)
    assert paired.item() == pytest.approx(math.log1p(math.exp(-1)))  # both pairs differ by 1
    assert Relativistic().discriminator_loss(real, fake.flip(0)).item() > 4


def test_relativistic_generator_without_real_scores_is_an_error():
    with pytest.raises(ValueError, match="real pictures"):
        Relativistic().generator_loss(scores(1.0), None)


@pytest.mark.parametrize("name", NAMES)
def test_params_choose_the_objective(name, recipe_of):
    assert type(build_objective(recipe_of(name))) is type(OBJECTIVES[name])


@pytest.mark.parametrize(("name", "midpoint"), [("bce", math.log(0.9 / 1.1)), ("lsgan", 0.45)])
def test_params_smooth_labels_where_there_are_some(name, midpoint, recipe_of):
    assert build_objective(recipe_of(name, 0.1)).decision_threshold == pytest.approx(midpoint)


@pytest.mark.parametrize("name", ["hinge", "wgan_gp", "relativistic"])
def test_smoothing_where_there_are_no_labels_is_an_error_in_one_line(name, recipe_of):
    with pytest.raises(GanError) as error:
        build_objective(recipe_of(name, 0.1))
    assert str(error.value) == (
        f"train.recipes.{name}.label_smoothing = 0.1: only bce and lsgan have labels; use 0"
    )


@pytest.fixture
def recipe_of(make_params):
    """recipe_of("bce", 0.1): train params with this objective and label smoothing."""

    def make(name, label_smoothing=0.0):
        smoothing = {f"train.recipes.{name}.label_smoothing": label_smoothing}
        return make_params({"train.objective": name} | smoothing).train

    return make
