"""Build the objective from params."""

from importlib import import_module

from gan.objectives.objective import Objective
from gan.objectives.registry import OBJECTIVES
from gan.params.train import TrainParams


def build_objective(params: TrainParams) -> Objective:
    """Build the objective that `train.objective` names, from its recipe.

    Raises GanError if the recipe asks for something that the objective does not support.
    """
    objective: Objective = import_module(OBJECTIVES[params.objective]).build(params.recipe)
    return objective
