"""Interface between a training and an experiment tracker, which the caller hands in.

No stage imports a tracker: how numbers and grids reach MLflow can change without a retraining.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class TrainingRun:
    """Identity of a training, known before its first step.

    name: such as `wgan_gp 64px w64 s1`. lineage: what decided the training, in plain values.
    environment: torch version, kind of device, precision. folder: for the tracker's own files;
    it lies in the progress folder, lives as long as that, and need not exist.
    """

    name: str
    run_key: str
    lineage: Mapping[str, Any]
    environment: Mapping[str, str]
    folder: Path


class Tracker(Protocol):
    """Record of one training. Its methods return at once and never raise.

    Points count from the next `commit` on: a killed training repeats its steps from the last
    durable checkpoint, and must not leave points of them behind. Steps are images seen.
    """

    def open(self, run: TrainingRun, images_seen: int) -> None:
        """Begin the record, or continue that of a training resumed at `images_seen`."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags; a later value replaces an earlier one."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step."""

    def system_metrics(self, step: int) -> None:
        """Record the machine's load since the last call, at a step."""

    def image(self, key: str, file: Path, step: int) -> None:
        """Record a picture of a series; one that is recorded already is skipped."""

    def artifact(self, file: Path, folder: str = "") -> None:
        """Record a copy of a file."""

    def prepare(self, step: int) -> None:
        """Make all points durable beside a checkpoint about to be written at `step`."""

    def commit(self, step: int) -> None:
        """Let all points count: the checkpoint of `step` is on disk."""

    def drop(self) -> None:
        """Forget the points since the last checkpoint: the training diverged."""

    def close(self, status: Status, *, hurry: bool = False) -> None:
        """End the record; hurry: with little time to send what is left."""


class NullTracker:
    """Tracker that keeps nothing, for tests and benchmarks."""

    def open(self, run: TrainingRun, images_seen: int) -> None: ...
    def tags(self, values: Mapping[str, str]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int) -> None: ...
    def system_metrics(self, step: int) -> None: ...
    def image(self, key: str, file: Path, step: int) -> None: ...
    def artifact(self, file: Path, folder: str = "") -> None: ...
    def prepare(self, step: int) -> None: ...
    def commit(self, step: int) -> None: ...
    def drop(self) -> None: ...
    def close(self, status: Status, *, hurry: bool = False) -> None: ...
