"""Wasserstein GAN (Arjovsky et al. 2017), whose penalty is in its recipe (arXiv:1704.00028)."""

from dataclasses import dataclass

from torch import Tensor

from gan.objectives.objective import Objective, refuse_label_smoothing
from gan.params.train import RecipeParams


@dataclass(frozen=True)
class WganGp(Objective):
    """The difference of mean scores; without `penalties.gradient` it would have no bound."""

    pairs = False
    midpoint = None

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """fake - real."""
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-fake."""
        return -fake.mean()


def build(recipe: RecipeParams) -> Objective:
    """GanError if labels are to be smoothed: there are none."""
    refuse_label_smoothing("wgan_gp", recipe)
    return WganGp()
