"""Subject of a lineage: a picture, a checkpoint or a run, and the metadata that it carries."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, ValidationError

from gan.errors import GanError
from pipeline.console import one_line
from pipeline.paths import Paths, sha256_of
from pipeline.pictures.png_lineage import read_lineage
from pipeline.training.identity import digest_of

MOST_LEVELS = 20
"""Nesting of metadata; `gan generate` writes less than half of it."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _KeyInputs(BaseModel):
    model: dict[str, Any]
    train: dict[str, Any]
    cache_digest: str
    code_digest: str
    images: int


class _StoredLineage(BaseModel):
    decided: _KeyInputs
    preprocess: dict[str, Any]
    snapshot: str
    source: dict[str, Any]
    licences: dict[str, Any]
    counts: dict[str, Any]


class _Metadata(BaseModel):
    """Shape of the metadata, which may have been edited in a picture."""

    name: str
    size: int
    images_seen: int
    run_key: Digest
    weights: str
    trained_on: str
    lineage: Annotated[_StoredLineage | None, BeforeValidator(lambda stored: stored or None)]
    sha256: Digest | None = None
    seeds: Annotated[str, StringConstraints(pattern=r"^[0-9, \-]*$", max_length=10_000)] = ""
    truncation: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0


@dataclass(frozen=True)
class Subject:
    """A picture, checkpoint or run. given: the file or name by which the user named it.

    metadata: as `gan.checkpoints.describe_checkpoint` gives it, with seeds and truncation of a
    picture; {} for a run whose checkpoints are gone.
    """

    given: str
    kind: str
    run_key: str
    run_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> str:
        return str(self.metadata.get("seeds", ""))

    @property
    def truncation(self) -> float:
        return float(self.metadata.get("truncation", 1.0))

    @property
    def stored_lineage(self) -> Mapping[str, Any]:
        """Inputs of the run key, settings and sources of the data; {} if not recorded."""
        return dict(self.metadata.get("lineage", {}))

    @property
    def key_inputs(self) -> dict[str, Any]:
        """Values of which the run key is the digest; {} if not recorded."""
        return dict(self.stored_lineage.get("decided", {}))

    def key_matches(self) -> bool | None:
        """Whether the run key is the digest of its recorded inputs; None if there are none."""
        if not self.key_inputs:
            return None
        same_data = self.key_inputs["cache_digest"] == self.metadata["trained_on"]
        return same_data and digest_of(self.key_inputs) == self.run_key


def find_subject(given: str, paths: Paths) -> Subject:
    """The subject at a file's path or of a run's name; GanError if it is neither."""
    file = Path(given)
    if file.suffix not in (".png", ".pt") and (file.suffix == ".json" or not file.is_file()):
        return _find_run(given, paths)
    if file.suffix == ".pt" or (file.suffix != ".png" and zipfile.is_zipfile(file)):
        kind, metadata = "checkpoint", _read_checkpoint(file)
    else:
        kind, metadata = "picture", _validate(read_lineage(file), given)
    return Subject(given, kind, metadata["run_key"], metadata=metadata)


def _validate(metadata: dict[str, Any], where: str) -> dict[str, Any]:
    """The metadata itself; GanError if its shape is not that of `gan generate` and `gan train`."""
    place = "" if _is_shallow(metadata, MOST_LEVELS) else "nested too deeply"
    try:
        if not place:
            _Metadata.model_validate(metadata, strict=True)
    except ValidationError as error:
        place = one_line(".".join(str(each) for each in error.errors()[0]["loc"]))
    if place:
        raise GanError(
            f"{where}: its metadata is damaged or was edited ({place}); take the original file"
        )
    return metadata


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inner)


def _read_checkpoint(file: Path) -> dict[str, Any]:
    """Metadata of a checkpoint, with its sha256; GanError if it is none or damaged."""
    from gan.checkpoints import Origin, describe_checkpoint, load_checkpoint

    origin = load_checkpoint(file)["origin"]
    try:
        metadata = describe_checkpoint(Origin(**origin), sha256=sha256_of(file))
    except TypeError:
        raise GanError(f"{file}: a checkpoint without lineage; take a newer one") from None
    return _validate(metadata, str(file))


def _find_run(given: str, paths: Paths) -> Subject:
    """A run in the MLflow store or in models/, with metadata from one of its checkpoints."""
    from pipeline.runs.checkpoint import checkpoint_of
    from pipeline.runs.find import Runs, UnknownRunError

    try:
        with checkpoint_of(given, paths) as checkpoint:
            metadata = _read_checkpoint(checkpoint.file)
            return Subject(given, "run", metadata["run_key"], checkpoint.run_id, metadata)
    except UnknownRunError as error:
        raise GanError(f"{error}, `gan lineage` takes PNG files and checkpoints too") from None
    except GanError:
        training = Runs(paths).find_training(given)
        return Subject(given, "run", training.run_key, training.run_id)
