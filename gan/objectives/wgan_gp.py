"""Wasserstein GAN (Arjovsky et al. 2017); its recipe has the penalty (arXiv:1704.00028)."""

from dataclasses import dataclass

from torch import Tensor

from gan.objectives.objective import Objective
from gan.params.train import RecipeParams


@dataclass(frozen=True)
class WganGp(Objective):
    """The difference of mean scores, which has no bound without `penalties.gradient`."""

    needs_real_scores = False
    decision_threshold = None

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """fake - real."""
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-fake."""
        return -fake.mean()


def build(recipe: RecipeParams) -> Objective:
    return WganGp()
