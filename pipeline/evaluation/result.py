"""Result of an evaluation, as evaluation.json has it; written and read here alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gan.errors import GanError
from gan.metrics.memorisation import Memorisation

FORMAT: Literal["avatar-gan evaluation 1"] = "avatar-gan evaluation 1"


def round_value(value: float) -> float:
    """Round to six significant digits: more vary by machine."""
    return float(f"{value:.6g}")


class Part(BaseModel):
    """Part of a result, in the order of the file's keys; keys of other versions are ignored."""

    model_config = ConfigDict(frozen=True)


class CheckpointFacts(Part):
    """An evaluated checkpoint, as `gan.checkpoints.describe_checkpoint` describes it."""

    kind: Literal["checkpoint"] = "checkpoint"
    name: str
    size: int
    images_seen: int
    run_key: str
    weights: str
    trained_on: str
    lineage: dict[str, Any] = {}
    sha256: str


class FolderFacts(Part):
    """An evaluated folder of images; size is (height, width)."""

    kind: Literal["folder"] = "folder"
    name: str
    sha256: str
    size: tuple[int, int]


class ReferenceFacts(Part):
    """Real images that fakes were compared with. other: not the checkpoint's training data."""

    what: str
    digest: str
    count: int | None
    other: bool


class ExtractorFacts(Part):
    """A feature extractor."""

    protocol: str
    precision: str
    digest: str


class Protocol(Part):
    """Images of a sample set, latent seeds ([None] for a folder), extractors by name."""

    fakes: int
    seeds: list[int | None]
    extractors: dict[str, ExtractorFacts]


class MetricResult(Part):
    """One number: a value per sample set, and all that decides whether others are comparable.

    deviation: over the sample sets; None for a single one. protocol: digest of metric, extractor,
    reference, counts and marks.
    """

    value: float
    deviation: float | None
    values: list[float]
    metric: str
    extractor: str
    against: str | None
    fakes: int
    reals: int | None
    protocol: str

    @classmethod
    def of(cls, values: Sequence[float], **facts: Any) -> Self:
        """Summarise the values of all sample sets."""
        deviation = float(f"{stdev(values):.2g}") if len(values) > 1 else None
        rounded = [round_value(value) for value in values]
        return cls(value=round_value(fmean(values)), deviation=deviation, values=rounded, **facts)


class SelectionFacts(Part):
    """Selection of the best snapshot: images seen and distance of each, in order of training.

    key and seed are None and the curve is empty if the newest was taken without a distance.
    """

    key: str | None
    seed: int | None
    best: int
    curve: list[tuple[int, float]]


class EvaluationResult(Part):
    """A whole result, a function of the inputs; metrics by their keys.

    notes: lines for a reader, such as missing metrics and why.
    """

    format: Literal["avatar-gan evaluation 1"] = FORMAT
    subject: CheckpointFacts | FolderFacts = Field(discriminator="kind")
    references: dict[str, ReferenceFacts]
    protocol: Protocol
    metrics: dict[str, MetricResult]
    memorisation: dict[str, Memorisation]
    selection: SelectionFacts | None
    notes: list[str]

    @property
    def other_data(self) -> list[str]:
        """Tags of references that are not the checkpoint's training data."""
        if isinstance(self.subject, FolderFacts):
            return []
        return [tag for tag, each in self.references.items() if each.other]

    def to_text(self) -> str:
        """Compose evaluation.json."""
        return json.dumps(self.model_dump(), indent=1, ensure_ascii=False) + "\n"


def read_result(file: Path) -> EvaluationResult:
    """Read an evaluation.json of `gan evaluate`; GanError if the file is something else."""
    try:
        return EvaluationResult.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, ValidationError):
        raise GanError(
            f"{file}: no evaluation of gan, or damaged (expected format {FORMAT!r}); "
            "`gan evaluate --out` writes one"
        ) from None
