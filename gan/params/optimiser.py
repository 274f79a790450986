"""Optimiser of one network: its arguments, learning rate and schedule."""

import sys
from typing import Any, Literal, Self

from pydantic import PositiveFloat, field_validator, model_validator

from gan.params.section import Images, Section, Share

SWITCHES = ("amsgrad", "nesterov", "centered")
ARGUMENTS = {
    "adam": ("betas", "eps", "weight_decay", "amsgrad"),
    "adamw": ("betas", "eps", "weight_decay", "amsgrad"),
    "rmsprop": ("alpha", "eps", "momentum", "weight_decay", "centered"),
    "sgd": ("momentum", "dampening", "nesterov", "weight_decay"),
}
"""Arguments of torch's optimisers that params.yaml may set; the others keep torch's defaults."""

KNOWN = tuple(dict.fromkeys(name for names in ARGUMENTS.values() for name in names))
SHARES = ("alpha", "momentum", "dampening")
"""Arguments that must be below 1: at 1 nothing is forgotten, or nothing learned."""

Argument = bool | float | list[float]


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
    arguments: dict[str, Argument]
    schedule: ScheduleParams

    @field_validator("arguments", mode="before")
    @classmethod
    def _arguments_are_right(cls, arguments: Any) -> Any:
        # before pydantic's check, whose error for a union lists every type of it
        for name, value in arguments.items() if isinstance(arguments, dict) else ():
            if problem := _problem(name, value):
                raise ValueError(f"{name} = {value!r}: {problem}")
        return arguments

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


def _problem(name: Any, value: Any) -> str:
    if name not in KNOWN:
        return f"no such argument; use {', '.join(KNOWN)}"
    if name in SWITCHES:
        return "" if isinstance(value, bool) else "must be true or false"
    if name == "betas":
        pair = isinstance(value, list) and len(value) == 2 and all(map(_is_share, value))
        return "" if pair else "must be two numbers from 0 to less than 1"
    if name in SHARES:
        return "" if _is_share(value) else "must be a number from 0 to less than 1"
    return "" if _is_number(value) and value >= 0 else "must be a number of at least 0"


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # so it is finite, and can become a float


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1
