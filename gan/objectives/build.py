"""From params to the objective."""

from importlib import import_module

from gan.objectives.objective import Objective
from gan.objectives.registry import OBJECTIVES
from gan.params.train import TrainParams


def build_objective(params: TrainParams) -> Objective:
    """The objective that `train.objective` names, by its recipe.

    GanError if the recipe asks for something that the objective can't do.
    """
    objective: Objective = import_module(OBJECTIVES[params.objective]).build(params.recipe)
    return objective
