"""Schema of params.yaml: every value is required, typed, bounded and frozen; no defaults here."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from gan.errors import GanError

Size = Literal[32, 48, 64, 96, 128]
Split = Literal["train", "holdout"]
Norm = Literal["none", "batch", "layer", "instance"]
Precision = Literal["auto", "float32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
ObjectiveName = Literal["bce", "wgan_gp", "hinge"]
OBJECTIVES: tuple[str, ...] = get_args(ObjectiveName)
Channel = Annotated[int, Field(ge=0, le=255)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=512)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A section of params.yaml: frozen, unknown keys forbidden, no coercion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ScrapeParams(Section):
    """How a crawl behaves towards hosts, and what it refuses."""

    contact: Annotated[str, Field(max_length=200)]
    delay: Annotated[float, Field(ge=0, le=3600)]
    connections: Annotated[int, Field(ge=1, le=256)]
    timeout: PositiveFloat
    retries: Annotated[int, Field(ge=0, le=20)]
    backoff: Annotated[float, Field(ge=0, le=3600)]
    longest_wait: Annotated[float, Field(ge=0, le=86400)]
    give_up_after: PositiveInt
    redirects: Annotated[int, Field(ge=0, le=50)]
    max_pages: PositiveInt
    max_bytes: Annotated[int, Field(ge=1024, le=2**31)]
    max_pixels: PositiveInt
    archive_members: PositiveInt
    archive_bytes: PositiveInt
    archive_ratio: PositiveFloat

    @field_validator("contact")
    @classmethod
    def _contact_fits_into_a_header(cls, contact: str) -> str:
        if not (contact.isascii() and contact.isprintable()):
            raise ValueError("must be one line of printable ASCII characters")
        return contact


class FacesParams(Section):
    """Where the faces of a picture come from, and which of them become avatars."""

    detector: Literal["animeface", "cascade", "boxes"]
    file: str
    margin: Annotated[float, Field(ge=0.5, le=10)]
    centre: Annotated[float, Field(ge=0, le=1)]
    min_score: Annotated[float, Field(ge=0)]
    min_side: Annotated[int, Field(ge=1)]
    min_share: Annotated[float, Field(ge=0, lt=1)]
    max_faces: Annotated[int, Field(ge=1, le=256)]

    @model_validator(mode="after")
    def _file_stands_in_its_folder(self) -> Self:
        if self.detector in ("cascade", "boxes") and not self.file:
            raise ValueError(
                f"detector: {self.detector} reads a file: put it into faces/ and name it in `file`"
            )
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                f"file = {self.file!r} must be a name in the folder faces/, which DVC watches"
            )
        return self


class FilterParams(Section):
    """What is left out for its size or looks; all pass a least of 0, and a share of 1."""

    min_side: Annotated[int, Field(ge=0)]
    max_aspect: Annotated[float, Field(ge=1)]
    min_contrast: Annotated[float, Field(ge=0, le=128)]
    max_one_colour: Annotated[float, Field(ge=0.5, le=1)]
    min_sharpness: Annotated[float, Field(ge=0)]
    min_colour: Annotated[float, Field(ge=0, le=255)]


class DuplicateParams(Section):
    """Which avatars are one picture: Hamming distances of their 64-bit perceptual hashes."""

    near: bool
    dhash: Annotated[int, Field(ge=0, le=10)]
    phash: Annotated[int, Field(ge=0, le=64)]


class PreprocessParams(Section):
    size: Size
    crop: Literal["square", "pad", "faces"]
    holdout: Annotated[float, Field(ge=0, lt=1)]
    background: Annotated[list[Channel], Field(min_length=3, max_length=3)]
    max_pixels: PositiveInt
    faces: FacesParams
    filters: FilterParams
    duplicates: DuplicateParams


class ModelParams(Section):
    latent_size: Annotated[int, Field(ge=1, le=4096)]
    generator_width: Width
    discriminator_width: Width


class ObjectiveParams(Section):
    """What every objective needs to train: optimisers, rhythm, the discriminator's norms."""

    generator_learning_rate: PositiveFloat
    discriminator_learning_rate: PositiveFloat
    betas: Annotated[list[Beta], Field(min_length=2, max_length=2)]
    critic_steps: PositiveInt
    discriminator_norm: Norm
    spectral_norm: bool


class WganGpParams(ObjectiveParams):
    penalty_weight: PositiveFloat

    @model_validator(mode="after")
    def _critic_has_no_batch_norm(self) -> Self:
        if self.discriminator_norm == "batch":
            raise ValueError(
                "discriminator_norm: batch is not allowed with wgan_gp: the penalty is on the "
                "gradient of each sample, and batch norm makes samples depend on each other; "
                "use none, layer or instance"
            )
        return self


class TrainParams(Section):
    seed: Seed
    images: PositiveInt
    batch_size: Annotated[int, Field(ge=2, le=65536)]
    objective: ObjectiveName
    flip: bool
    average_images: PositiveInt
    device: Device
    precision: Precision
    log_every: PositiveInt
    grid_every: PositiveInt
    snapshot_every: PositiveInt
    checkpoint_every: PositiveInt
    bce: ObjectiveParams
    wgan_gp: WganGpParams
    hinge: ObjectiveParams

    @property
    def recipe(self) -> ObjectiveParams:
        """The section of the objective that is switched on."""
        recipes: dict[str, ObjectiveParams] = {
            "bce": self.bce,
            "wgan_gp": self.wgan_gp,
            "hinge": self.hinge,
        }
        return recipes[self.objective]


class FeaturesParams(Section):
    """How images are looked at: real ones by `reference`, generated ones by `evaluate`."""

    batch_size: Annotated[int, Field(ge=1, le=65536)]
    inception_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class EvaluateParams(Section):
    num_fakes: Annotated[int, Field(ge=2, le=10_000_000)]
    splits: Annotated[list[Split], Field(min_length=1)]
    allow_small: bool
    selection_fakes: Annotated[int, Field(ge=2, le=10_000_000)]
    selection_seed: Seed
    report_seed: Seed

    @model_validator(mode="after")
    def _choose_and_report_apart(self) -> Self:
        if self.selection_seed == self.report_seed:
            raise ValueError(
                f"selection_seed and report_seed are both {self.report_seed} and must differ: a "
                "number on the seed that chose the snapshot is too good"
            )
        if len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits = {self.splits!r} names a split twice")
        return self


class Params(Section):
    """The whole of params.yaml."""

    scrape: ScrapeParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    features: FeaturesParams
    evaluate: EvaluateParams


def _describe(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "params"
    match error["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is unknown"
    message = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    shown = "" if isinstance(value, dict | BaseModel) else f" = {value!r}"
    return f"{where}{shown}: {message[0].lower()}{message[1:]}"


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
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise GanError(f"{path}: no such file; run in the repository or give --params") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GanError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        problem = " ".join(str(error).split())
        raise GanError(f"{path}: not valid YAML: {problem}") from None
    return parse_params(values, str(path))
