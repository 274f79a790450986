"""The non-saturating GAN (Goodfellow et al. 2014, arXiv:1406.2661, section 3), from logits."""

import math

from torch import Tensor
from torch.nn.functional import softplus

from gan.objectives.objective import Objective
from gan.params.train import RecipeParams


class Bce(Objective):
    """Binary cross-entropy of real against fake; softplus keeps its gradient at any logit.

    label_smoothing: s in [0, 0.5) makes the label of real pictures 1 - s; that of fakes stays 0
    (one-sided; Salimans et al. 2016, arXiv:1606.03498, section 3.4).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing
        # a picture that is as likely real as fake has the label (1 - s) / 2
        self.decision_threshold = math.log((1 - label_smoothing) / (1 + label_smoothing))

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-(1 - s) log sigmoid(real) - s log sigmoid(-real) - log sigmoid(-fake)."""
        smoothed = softplus(-real) + self.label_smoothing * real
        return smoothed.mean() + softplus(fake).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log sigmoid(fake)."""
        return softplus(-fake).mean()


def build(recipe: RecipeParams) -> Objective:
    return Bce(recipe.label_smoothing)
