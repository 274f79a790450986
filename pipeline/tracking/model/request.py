"""Request to a served generator, validated: seeds, truncations, kind of output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

Output = Literal["array", "png"]

MOST_SEEDS = 10_000
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Request:
    """Requested avatars: a truncation in [0, 1] for each seed."""

    seeds: list[int]
    truncations: list[float]
    output: Output


def parse_request(model_input: Any, params: Mapping[str, Any]) -> Request:
    """Parse a table with `seed` and maybe `truncation`, or seeds alone (list, array).

    params: `truncation` for seeds that have none (1 if missing) and `output`, array or png.
    ValueError, in one line, for anything else.
    """
    tabular = hasattr(model_input, "columns") or isinstance(model_input, Mapping)
    if tabular and "seed" not in model_input:
        raise ValueError("the column `seed` is missing")
    seeds = _parse_seeds(model_input["seed"] if tabular else model_input)
    default = _parse_truncations([params.get("truncation", 1.0)])[0]
    truncations = [default] * len(seeds)
    if tabular and "truncation" in model_input:
        column = np.ravel(np.asarray(model_input["truncation"], dtype=object))
        truncations = _parse_truncations([default if _is_missing(t) else t for t in column])
    if len(truncations) != len(seeds):
        raise ValueError(f"{len(truncations)} truncations for {len(seeds)} seeds")
    output = params.get("output", "array")
    if output not in ("array", "png"):
        raise ValueError(f"output = {str(output)[:40]!r}: array or png")
    return Request(seeds, truncations, cast(Output, output))


def _parse_seeds(values: Any) -> list[int]:
    seeds = np.ravel(np.asarray(values))
    if len(seeds) > MOST_SEEDS:
        raise ValueError(f"{len(seeds):,} seeds: at most {MOST_SEEDS:,} at a time")
    for seed in seeds.tolist():
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
            raise ValueError(
                f"seed = {str(seed)[:40]!r}: a whole number from 0 to {LARGEST_SEED} is needed"
            )
    return [int(seed) for seed in seeds]


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _parse_truncations(values: list[Any]) -> list[float]:
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:
            raise ValueError(f"truncation = {str(value)[:40]!r}: a number from 0 to 1 is needed")
    return [float(value) for value in values]
