"""Optimiser of one network: its arguments, learning rate and schedule."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from gan.params.section import SETTINGS, Images, Section, Share, Weight

ARGUMENTS = {
    "adam": ("betas", "eps", "weight_decay", "amsgrad"),
    "adamw": ("betas", "eps", "weight_decay", "amsgrad"),
    "rmsprop": ("alpha", "eps", "momentum", "weight_decay", "centered"),
    "sgd": ("momentum", "dampening", "nesterov", "weight_decay"),
}
"""Arguments of torch's optimisers that params.yaml may set; the others keep torch's defaults."""

Memory = Annotated[float, Field(ge=0, lt=1)]
"""A share of what is remembered: at 1 nothing is forgotten, or nothing learned."""


@with_config(SETTINGS)
class Arguments(TypedDict, total=False):
    """Arguments of any optimiser."""

    betas: Annotated[list[Memory], Field(min_length=2, max_length=2)]
    alpha: Memory
    momentum: Memory
    dampening: Memory
    eps: Weight
    weight_decay: Weight
    amsgrad: bool
    nesterov: bool
    centered: bool


class ScheduleParams(Section):
    """Schedule of the learning rate, as a factor on `learning_rate`.

    It rises from 0 during `warm_up` images, and falls from 1 at image `begin` to `floor` at image
    `end`. These do not depend on the training's length, so that a longer training can resume from
    a shorter one.
    """

    shape: Literal["constant", "linear", "cosine"]
    warm_up: Images
    begin: Images
    end: Images
    floor: Share

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.shape != "constant" and self.end <= self.begin:
            raise ValueError(
                f"end = {self.end} must be after begin = {self.begin}, in images seen, with "
                f"shape: {self.shape}"
            )
        return self


class OptimiserParams(Section):
    optimiser: Literal["adam", "adamw", "rmsprop", "sgd"]
    learning_rate: PositiveFloat
    arguments: Arguments
    schedule: ScheduleParams

    @model_validator(mode="after")
    def _arguments_fit(self) -> Self:
        allowed = ARGUMENTS[self.optimiser]
        for name in self.arguments:
            if name not in allowed:
                raise ValueError(
                    f"{self.optimiser} takes no argument {name!r}; it takes {', '.join(allowed)}"
                )
        given = self.arguments
        if given.get("nesterov") and (not given.get("momentum") or given.get("dampening")):
            raise ValueError("arguments.nesterov = True needs a momentum, and a dampening of 0")
        return self
