"""The non-saturating GAN (Goodfellow et al. 2014, arXiv:1406.2661, section 3), from logits."""

from torch import Tensor
from torch.nn.functional import softplus

from gan.models.dcgan import Discriminator
from gan.objectives.objective import Losses, named, score_both


class Bce:
    """Binary cross-entropy of real against fake; softplus keeps its gradient at any logit."""

    def discriminator_loss(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, mix: Tensor
    ) -> Losses:
        """-log sigmoid(real) - log(1 - sigmoid(fake)); 2 ln 2 at zero logits."""
        real_scores, fake_scores = score_both(discriminator, real, fake)
        loss = softplus(-real_scores).mean() + softplus(fake_scores).mean()
        return named(loss, real_scores, fake_scores)

    def generator_loss(self, discriminator: Discriminator, fake: Tensor) -> Losses:
        """-log sigmoid(fake); ln 2 at zero logits."""
        return {"loss/generator": softplus(-discriminator(fake).float()).mean()}
