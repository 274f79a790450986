"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028)."""

from dataclasses import dataclass

from torch import Tensor

from gan.models.dcgan import Discriminator
from gan.objectives.objective import Losses, named, score_both
from gan.objectives.penalties import gradient_penalty


@dataclass(frozen=True)
class WganGp:
    """The penalty is part of the critic's loss, in the same step (algorithm 1, line 7)."""

    penalty_weight: float

    def discriminator_loss(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, mix: Tensor
    ) -> Losses:
        """fake - real + weight * penalty."""
        real_scores, fake_scores = score_both(discriminator, real, fake)
        penalty = gradient_penalty(discriminator, real, fake, mix)
        loss = fake_scores.mean() - real_scores.mean() + self.penalty_weight * penalty
        losses = named(loss, real_scores, fake_scores)
        return losses | {"loss/gradient_penalty": penalty}

    def generator_loss(self, discriminator: Discriminator, fake: Tensor) -> Losses:
        """-fake."""
        return {"loss/generator": -discriminator(fake).float().mean()}
