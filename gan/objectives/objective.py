"""Interface of an objective: the losses of both networks over the discriminator's scores."""

from abc import ABC, abstractmethod

from torch import Tensor


class Objective(ABC):
    """The losses of discriminator and generator; higher scores mean "more real".

    Scores are (N,) float32 or float64; real[i] and fake[i] are a pair. Losses are 0-d tensors,
    means over the samples, so that several processes can average theirs. Penalties are separate
    (gan.objectives.penalties).
    """

    needs_real_scores = False
    """Whether the generator's loss compares with scores of real pictures."""

    decision_threshold: float | None = None
    """The score of a picture that is as likely real as fake; None if only differences count."""

    @abstractmethod
    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor: ...

    @abstractmethod
    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """`real`: scores of real pictures, or None unless `needs_real_scores`."""
