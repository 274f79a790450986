"""Schema of the sections `features` and `evaluate` of params.yaml."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from gan.metrics.registry import METRICS
from gan.params.section import Section, Seed, one_of

Split = Literal["train", "holdout"]

RENAMED_METRICS = {
    "frechet": "frechet_distance",
    "infinity": "frechet_infinity",
    "kernel": "kernel_distance",
    "manifold": "precision_recall",
    "score": "inception_score",
}
"""Old ids of `evaluate.metrics`, and the ids that replace them."""


def _refuse_renamed(metric: Any) -> Any:
    if isinstance(metric, str) and metric in RENAMED_METRICS:
        raise ValueError(f"now called {RENAMED_METRICS[metric]}")
    return metric


Metric = Annotated[str, one_of(METRICS), BeforeValidator(_refuse_renamed)]
"""A method that `gan evaluate` measures generated images by."""


def _no_value_twice(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("must not name a value twice")
    return values


class FeaturesParams(Section):
    """Feature extraction, of real images by `reference` and of generated ones by `evaluate`."""

    extractors: Annotated[list[str], Field(min_length=1), AfterValidator(_no_value_twice)]
    precision: Literal["float32", "bf16"]
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    inception_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("extractors")
    @classmethod
    def _check_names(cls, extractors: list[str]) -> list[str]:
        for name in extractors:
            path = PurePosixPath(name)
            if name not in ("lite0", "inception") and path.suffix not in (".pt", ".ts"):
                raise ValueError(
                    f"{name!r} is neither lite0, inception nor a TorchScript file (.pt)"
                )
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name!r} must be a name in weights/, which DVC watches")
        return extractors


class EvaluateParams(Section):
    num_fakes: Annotated[int, Field(ge=2, le=1_000_000)]
    report_seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_no_value_twice)]
    splits: Annotated[list[Split], Field(min_length=1), AfterValidator(_no_value_twice)]
    metrics: Annotated[list[Metric], Field(min_length=1), AfterValidator(_no_value_twice)]
    allow_small: bool
    selection_fakes: Annotated[int, Field(ge=2, le=1_000_000)]
    selection_seed: Seed

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        if self.selection_seed in self.report_seeds:
            raise ValueError(
                f"selection_seed = {self.selection_seed} is one of report_seeds: on the seed that "
                "chose the snapshot, metrics are too good; use another seed"
            )
        return self
