"""The hinge objective (Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957)."""

from torch import Tensor
from torch.nn.functional import relu

from gan.models.dcgan import Discriminator
from gan.objectives.objective import Losses, named, score_both


class Hinge:
    """Scores are pushed beyond the margins 1 and -1 and no further."""

    def discriminator_loss(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, mix: Tensor
    ) -> Losses:
        """max(0, 1 - real) + max(0, 1 + fake); 2 at zero scores."""
        real_scores, fake_scores = score_both(discriminator, real, fake)
        loss = relu(1 - real_scores).mean() + relu(1 + fake_scores).mean()
        return named(loss, real_scores, fake_scores)

    def generator_loss(self, discriminator: Discriminator, fake: Tensor) -> Losses:
        """-fake."""
        return {"loss/generator": -discriminator(fake).float().mean()}
