"""The hinge objective (Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957)."""

from torch import Tensor
from torch.nn.functional import relu

from gan.objectives.objective import Objective
from gan.params.train import RecipeParams


class Hinge(Objective):
    """Scores are pushed beyond the margins 1 and -1 and no further."""

    decision_threshold = 0.0

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(0, 1 - real) + max(0, 1 + fake)."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-fake."""
        return -fake.mean()


def build(recipe: RecipeParams) -> Objective:
    return Hinge()
