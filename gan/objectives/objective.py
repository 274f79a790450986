"""What the training loop knows of an objective; the scores' orientation is the same in all."""

from typing import Protocol

import torch
from torch import Tensor

from gan.models.dcgan import Discriminator

Losses = dict[str, Tensor]
"""Named scalars; `loss/discriminator` or `loss/generator` is the one to minimise."""


class Objective(Protocol):
    """A pair of losses over a discriminator whose higher scores mean "more real"."""

    def discriminator_loss(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, mix: Tensor
    ) -> Losses:
        """Loss of the discriminator.

        real, fake: (N, 3, H, W) pixels, fake detached; mix: (N,) uniform in (0, 1), for objectives
        that look between the two.
        """
        ...

    def generator_loss(self, discriminator: Discriminator, fake: Tensor) -> Losses:
        """Loss of the generator; fake (N, 3, H, W) pixels carry its gradient."""
        ...


def score_both(discriminator: Discriminator, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 scores (N,) of real and of fake pixels."""
    if discriminator.mixes_samples:  # batch norm must see real and fake apart
        return discriminator(real).float(), discriminator(fake).float()
    # one pass over both is faster than two and gives the same scores
    scores = discriminator(torch.cat([real, fake])).float()
    real_scores, fake_scores = scores.split([len(real), len(fake)])
    return real_scores, fake_scores


def named(loss: Tensor, real: Tensor, fake: Tensor) -> Losses:
    """The discriminator's loss with the mean scores, as every objective reports them."""
    return {"loss/discriminator": loss, "score/real": real.mean(), "score/fake": fake.mean()}
