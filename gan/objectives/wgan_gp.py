"""Wasserstein GAN (Arjovsky et al. 2017); its recipe has the penalty (arXiv:1704.00028)."""

from torch import Tensor

from gan.objectives.objective import Objective
from gan.params.train import RecipeParams


class WganGp(Objective):
    """The difference of mean scores, which has no bound without `penalties.gradient`."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """fake - real."""
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-fake."""
        return -fake.mean()


def build(recipe: RecipeParams) -> Objective:
    return WganGp()
