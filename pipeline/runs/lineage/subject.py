"""What a person points at: a picture, a checkpoint or a run, and what it says of itself."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.pictures.png_lineage import read_lineage
from pipeline.runs.evaluated import one_line

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")
"""How pictures begin: only PNG files say something, but errors should speak of pictures."""

DEEPEST = 20
"""Levels of what a subject says; nothing that is written here has half as many."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Decided(BaseModel):
    model: dict[str, Any]
    train: dict[str, Any]
    cache_digest: str
    code_digest: str
    images: int


class _Lineage(BaseModel):
    decided: _Decided
    preprocess: dict[str, Any]
    snapshot: str
    source: dict[str, Any]
    licences: dict[str, Any]
    counts: dict[str, Any]


class _Said(BaseModel):
    """A checkpoint's description as a picture holds it; its text may have been edited."""

    name: str
    size: int
    images_seen: int
    run_key: Digest
    weights: str
    trained_on: str
    lineage: _Lineage | dict[str, Any]
    sha256: Digest | None = None
    seeds: Annotated[str, StringConstraints(pattern=r"^[0-9, \-]*$", max_length=10_000)] = ""
    truncation: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0


@dataclass(frozen=True)
class Subject:
    """kind: picture, checkpoint or run. said: as `gan.checkpoints.describe_checkpoint`; {} for a
    run whose checkpoint can't be had. seeds, truncation: of a picture.
    """

    given: str
    kind: str
    run_key: str
    file: Path | None = None
    run_id: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> str:
        return str(self.said.get("seeds", ""))

    @property
    def truncation(self) -> float:
        return float(self.said.get("truncation", 1.0))

    @property
    def lineage(self) -> Mapping[str, Any]:
        """What decided the training; {} where nothing says it."""
        found: Mapping[str, Any] = self.said.get("lineage", {})
        return found

    @property
    def decided(self) -> dict[str, Any]:
        return dict(self.lineage.get("decided", {}))

    def key_holds(self) -> bool | None:
        """Whether the run key is the digest of what it stands for; None if that isn't said."""
        from pipeline.training.progress_folder import digest_of

        if not self.decided:
            return None
        same_data = self.decided["cache_digest"] == self.said["trained_on"]
        return same_data and digest_of(self.decided) == self.run_key


def subject_of(given: str, paths: Paths) -> Subject:
    """What is meant by a file's path or a run's name; GanError if it is neither."""
    file = Path(given)
    if file.is_file() and file.suffix != ".json":
        return _picture(given) if _begins_as_picture(file) else _checkpoint(given)
    if file.suffix == ".png":
        return _picture(given)
    if file.suffix == ".pt":
        return _checkpoint(given)
    return _run(given, paths)


def _begins_as_picture(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return file.suffix == ".png" or stream.read(8).startswith(PICTURES)
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror or error}") from None


def _picture(given: str) -> Subject:
    said = read_lineage(Path(given))
    return Subject(given, "picture", _checked(said, given)["run_key"], Path(given), said=said)


def _checked(said: dict[str, Any], where: str) -> dict[str, Any]:
    if not _shallow(said, DEEPEST):
        raise GanError(f"{where}: what it says of its origin is damaged or was edited (nested)")
    try:
        _Said.model_validate(said, strict=True)
        if said["lineage"]:
            _Lineage.model_validate(said["lineage"], strict=True)
    except ValidationError as error:
        place = ".".join(str(each) for each in error.errors()[0]["loc"])
        raise GanError(
            f"{where}: what it says of its origin is damaged or was edited ({one_line(place)})"
        ) from None
    return said


def _shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_shallow(each, levels - 1) for each in inner)


def _checkpoint(given: str) -> Subject:
    said = said_by(Path(given))
    return Subject(given, "checkpoint", said["run_key"], Path(given), said=said)


def said_by(file: Path) -> dict[str, Any]:
    """What a checkpoint says of itself, with its sha256; GanError if it is none or damaged."""
    from gan.checkpoints import Origin, describe_checkpoint, load_checkpoint

    origin = load_checkpoint(file)["origin"]
    try:
        said = describe_checkpoint(
            Origin(**origin), sha256=hashlib.sha256(file.read_bytes()).hexdigest()
        )
    except TypeError:
        raise GanError(f"{file}: does not say where it is from") from None
    return _checked(said, str(file))


def _run(given: str, paths: Paths) -> Subject:
    """The tracker's row, with what a checkpoint of the run says if one can be had."""
    from pipeline.runs.checkpoint import checkpoint_of
    from pipeline.runs.find import Runs, UnknownRunError

    try:
        with checkpoint_of(given, paths) as found:
            said = said_by(found.file)
            return Subject(given, "run", said["run_key"], None, found.run_id, said)
    except UnknownRunError as error:
        raise GanError(f"{error}, `gan lineage` takes PNG files and checkpoints too") from None
    except GanError:
        training = Runs(paths).find_training(given)
        return Subject(given, "run", training.run_key, None, training.run_id)
