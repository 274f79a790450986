"""Schema of params.yaml: every value is required, typed, bounded and frozen; no defaults here."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from gan.data_params import PreprocessParams, ScrapeParams
from gan.errors import GanError
from gan.model_params import ModelParams
from gan.section import Section, Seed
from gan.train_params import TrainParams

Split = Literal["train", "holdout"]


Metric = Literal["frechet", "infinity", "kernel", "manifold", "score", "memorisation"]


def _no_value_twice(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("must not name a value twice")
    return values


class FeaturesParams(Section):
    """How images are looked at: real ones by `reference`, generated ones by `evaluate`."""

    extractors: Annotated[list[str], Field(min_length=1), AfterValidator(_no_value_twice)]
    precision: Literal["float32", "bf16"]
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    inception_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("extractors")
    @classmethod
    def _known_or_a_file(cls, extractors: list[str]) -> list[str]:
        for name in extractors:
            path = PurePosixPath(name)
            if name not in ("lite0", "inception") and path.suffix not in (".pt", ".ts"):
                raise ValueError(f"{name!r} is neither lite0, inception nor a TorchScript file")
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
    def _choose_and_report_apart(self) -> Self:
        if self.selection_seed in self.report_seeds:
            raise ValueError(
                f"selection_seed = {self.selection_seed} is one of report_seeds: a number on the "
                "seed that chose the snapshot is too good"
            )
        return self


class Params(Section):
    """The whole of params.yaml."""

    scrape: ScrapeParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    features: FeaturesParams
    evaluate: EvaluateParams


LONGEST_VALUE = 80
"""Characters of a wrong value in a message; the rest is left out."""


def _describe(error: Any) -> str:
    parts = [str(part) for part in error["loc"] if part != "[key]"]
    where = " ".join(".".join(parts).split()) or "params"  # a key may have line breaks
    match error["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is unknown"
        case "model_type" | "dict_type":
            return f"{where}{_shown(error['input'])}: must be a section, with keys"
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}{_shown(error['input'])}: {message[0].lower()}{message[1:]}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | BaseModel):
        return ""
    text = repr(value)
    return f" = {text}" if len(text) <= LONGEST_VALUE else f" = {text[:LONGEST_VALUE]}..."


def parse_params(values: Any, source: str) -> Params:
    """Validate a parsed YAML tree; every error is named, with key, value and what is allowed.

    Raises GanError. `source` names the file in the message.
    """
    if not isinstance(values, dict):
        raise GanError(f"{source}: expected sections {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_describe(each) for each in error.errors())
        raise GanError(f"{source}: {problems}") from None


class _Loader(yaml.SafeLoader):
    """Knows numbers such as 1e-5, which DVC writes and PyYAML (YAML 1.1) takes for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def load_params(path: Path) -> Params:
    """Read and validate params.yaml; GanError names file, key, value and what is allowed."""
    return parse_text(read_text(path), str(path))


def read_text(path: Path) -> str:
    """What stands in params.yaml; GanError if it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GanError(f"{path}: no such file; run in the repository or give --params") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GanError(f"{path}: cannot be read: {error}") from None


def parse_text(text: str, source: str) -> Params:
    """Validate params.yaml's text, as `parse_params` does."""
    try:
        values = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        problem = " ".join(str(error).split())
        raise GanError(f"{source}: not valid YAML: {problem}") from None
    return parse_params(values, source)
