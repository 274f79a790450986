"""Build the objective from params."""

from importlib import import_module

from gan.errors import GanError
from gan.objectives.objective import Objective
from gan.objectives.registry import LABELLED, OBJECTIVES
from gan.params.train import TrainParams


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
