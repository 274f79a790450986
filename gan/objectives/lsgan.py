"""Least squares GAN (Mao et al. 2017, arXiv:1611.04076), equation 9: labels 0 and 1."""

from torch import Tensor

from gan.objectives.objective import Objective
from gan.params.train import RecipeParams


class Lsgan(Objective):
    """Scores are drawn to labels, by half their squared distance.

    label_smoothing: s in [0, 0.5) makes the discriminator's label of real pictures 1 - s; the
    generator's label stays 1.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.real_label = 1 - label_smoothing
        self.decision_threshold = self.real_label / 2

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """(real - label)^2 / 2 + fake^2 / 2."""
        return ((real - self.real_label).square().mean() + fake.square().mean()) / 2

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """(fake - 1)^2 / 2."""
        return (fake - 1).square().mean() / 2


def build(recipe: RecipeParams) -> Objective:
    return Lsgan(recipe.label_smoothing)
