"""Schema of params.yaml: every value is required, typed, bounded and frozen; no defaults."""

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from gan.errors import GanError
from gan.params.data import PreprocessParams, ScrapeParams
from gan.params.evaluation import EvaluateParams, FeaturesParams
from gan.params.model import ModelParams
from gan.params.section import Section
from gan.params.train import TrainParams


class Params(Section):
    """The whole of params.yaml."""

    scrape: ScrapeParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    features: FeaturesParams
    evaluate: EvaluateParams


LONGEST_VALUE = 80
"""Characters of a wrong value in an error; the rest is cut off."""

MAX_PROBLEMS = 6
"""Wrong values that an error names; it counts the others."""


def _describe(error: Any) -> str:
    parts = [str(part) for part in error["loc"] if part != "[key]"]
    where = " ".join(".".join(parts).split()) or "params"  # a key may have line breaks
    match error["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is unknown"
        case "model_type" | "dict_type":
            return f"{where}{_format_value(error['input'])}: must be a section, with keys"
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}{_format_value(error['input'])}: {message[0].lower()}{message[1:]}"


def _format_value(value: Any) -> str:
    if isinstance(value, dict | BaseModel):
        return ""
    text = repr(value)
    return f" = {text}" if len(text) <= LONGEST_VALUE else f" = {text[:LONGEST_VALUE]}..."


def parse_params(values: Any, source: str) -> Params:
    """Validate a parsed YAML tree; the GanError lists every wrong key, its value and the rule.

    source: the name of the file in the error.
    """
    if not isinstance(values, dict):
        raise GanError(f"{source}: expected sections {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = [_describe(each) for each in error.errors()]
        if len(problems) > MAX_PROBLEMS:
            problems[MAX_PROBLEMS:] = [f"and {len(problems) - MAX_PROBLEMS} more"]
        if any(each["type"] == "missing" for each in error.errors()):
            problems.append("`gan params --update` writes the missing keys in")
        raise GanError(f"{source}: {'; '.join(problems)}") from None


def keys_of(problem: Literal["missing", "extra_forbidden"], values: Any) -> list[tuple[str, ...]]:
    """Keys that are missing in a parsed YAML tree, or unknown, each with those of its sections."""
    try:
        Params.model_validate(values)
    except ValidationError as error:
        return [tuple(map(str, e["loc"])) for e in error.errors() if e["type"] == problem]
    return []


class _Loader(yaml.SafeLoader):
    """Loader that reads 1e-5, as DVC writes it, as a number; YAML 1.1 takes it for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def load_params(path: Path) -> Params:
    """Read and validate params.yaml; the GanError names the file, keys, values and rules."""
    return parse_text(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Read the text of params.yaml; GanError if it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GanError(f"{path}: no such file; run in the repository or give --params") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GanError(f"{path}: cannot be read: {error}") from None


def parse_text(text: str, source: str) -> Params:
    """Parse the text of params.yaml and validate it, as `parse_params` does."""
    return parse_params(parse_yaml(text, source), source)


def parse_yaml(text: str, source: str) -> Any:
    """Values of a YAML text, not validated; GanError if it is none."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        problem = " ".join(str(error).split())
        raise GanError(f"{source}: not valid YAML: {problem}") from None
