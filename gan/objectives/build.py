"""From params to the objective."""

from gan.objectives.bce import Bce
from gan.objectives.hinge import Hinge
from gan.objectives.objective import Objective
from gan.objectives.wgan_gp import WganGp
from gan.params import TrainParams


def build_objective(params: TrainParams) -> Objective:
    """The objective that `train.objective` names, with its own settings."""
    objectives: dict[str, Objective] = {
        "bce": Bce(),
        "wgan_gp": WganGp(params.wgan_gp.penalty_weight),
        "hinge": Hinge(),
    }
    return objectives[params.objective]
