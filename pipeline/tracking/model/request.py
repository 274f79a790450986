"""Request to a served generator, validated: seeds, truncations, kind of output."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

MOST_SEEDS = 10_000

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Truncation = Annotated[float, Field(strict=True, ge=0, le=1)]


class Request(BaseModel, frozen=True):
    """Requested avatars: a truncation for each seed."""

    seed: Annotated[list[Seed], Field(max_length=MOST_SEEDS)]
    truncation: list[Truncation]
    output: Literal["array", "png"]


def parse_request(model_input: Any, params: Mapping[str, Any]) -> Request:
    """Parse a table with `seed` and maybe `truncation`, or seeds alone (list, array).

    params: `truncation` for seeds that have none (1 if missing) and `output`, array or png.
    ValueError, in one line, for anything else.
    """
    tabular = hasattr(model_input, "columns") or isinstance(model_input, Mapping)
    if tabular and "seed" not in model_input:
        raise ValueError("the column `seed` is missing")
    seeds = _list_values(model_input["seed"] if tabular else model_input)
    truncations = [None] * len(seeds)
    if tabular and "truncation" in model_input:
        truncations = _list_values(model_input["truncation"])
    if len(truncations) != len(seeds):
        raise ValueError(f"{len(truncations)} truncations for {len(seeds)} seeds")
    usual = params.get("truncation", 1.0)
    try:
        return Request(
            seed=seeds,
            # a table has NaN where a row has none
            truncation=[usual if each is None or each != each else each for each in truncations],
            output=params.get("output", "array"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        shown = "" if first["type"] == "too_long" else f" = {str(first['input'])[:40]!r}"
        raise ValueError(f"{first['loc'][0]}{shown}: {first['msg'].lower()}") from None


def _list_values(values: Any) -> list[Any]:
    """Python's own numbers from a column, a list or an array."""
    column = np.ravel(np.asarray(values, dtype=object))
    return [each.item() if isinstance(each, np.generic) else each for each in column]
