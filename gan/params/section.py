"""Base class and types of the sections of params.yaml."""

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Images = Annotated[int, Field(ge=0, le=2**53)]
"""A point of the training, in images seen."""


SETTINGS = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Section(BaseModel):
    """A section of params.yaml: frozen, unknown keys forbidden, no coercion of types."""

    model_config = SETTINGS


def one_of(names: Collection[str]) -> AfterValidator:
    """Validator for Annotated: a text that is one of `names`, which the error lists."""

    def check(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text

    return AfterValidator(check)
