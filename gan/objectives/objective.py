"""Interface of an objective, the losses of both networks over scores, and its building."""

from abc import ABC, abstractmethod
from importlib import import_module

from torch import Tensor

from gan.errors import GanError
from gan.objectives.registry import LABELLED, OBJECTIVES
from gan.params.train import TrainParams


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


def build_objective(params: TrainParams) -> Objective:
    """Build the objective that `train.objective` names, from its recipe.

    Raises GanError if the recipe smooths labels and the objective has none.
    """
    name, smoothing = params.objective, params.recipe.label_smoothing
    if smoothing and name not in LABELLED:
        raise GanError(
            f"train.recipes.{name}.label_smoothing = {smoothing}: only {' and '.join(LABELLED)} "
            "have labels; use 0"
        )
    objective: Objective = import_module(OBJECTIVES[name]).build(params.recipe)
    return objective
