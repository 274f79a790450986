"""The relativistic pairing GAN (Jolicoeur-Martineau 2018, arXiv:1807.00734), as in R3GAN.

R3GAN (Huang et al. 2024, arXiv:2501.05441) shows that with R1 and R2, which are in its recipe, it
converges locally.
"""

from torch import Tensor
from torch.nn.functional import softplus

from gan.objectives.objective import Objective
from gan.params.train import RecipeParams


class Relativistic(Objective):
    """Each fake picture is compared with a real one; only differences of scores count."""

    needs_real_scores = True

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log sigmoid(real - fake)."""
        return softplus(fake - real).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log sigmoid(fake - real); ValueError without real scores."""
        if real is None:
            raise ValueError("the relativistic generator is compared with scores of real pictures")
        return softplus(real - fake).mean()


def build(recipe: RecipeParams) -> Objective:
    return Relativistic()
