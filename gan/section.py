"""What every section of params.yaml is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Images = Annotated[int, Field(ge=0, le=2**53)]
"""A moment of the training, in images seen."""


class Section(BaseModel):
    """A section of params.yaml: frozen, unknown keys forbidden, no coercion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
