"""Interface between a training and an experiment tracker, which the caller hands in.

No stage imports a tracker: how numbers and grids reach MLflow can change without a retraining.
The classes here keep nothing, for tests and benchmarks; a tracker overrides their methods.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.training.plan import Plan

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Record:
    """Record of one training. Its methods return at once and never raise.

    Points count from the next `commit` on: a killed training repeats its steps from the last
    durable checkpoint, and must not leave points of them behind. Steps are images seen.
    """

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags; a later value replaces an earlier one."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step, where they are not recorded yet."""

    def system_metrics(self, step: int) -> None:
        """Record the load of the machine since the last call, at a step."""

    def image(self, key: str, file: Path, step: int) -> None:
        """Record a picture of a series; one that is recorded already is skipped."""

    def artifact(self, file: Path, folder: str = "") -> None:
        """Record a copy of a file."""

    def prepare(self, step: int) -> None:
        """Make all points durable beside a checkpoint about to be written at `step`."""

    def commit(self) -> None:
        """Let all points count: the checkpoint is on disk."""

    def drop(self) -> None:
        """Forget the points since the last checkpoint: the training diverged."""

    def close(self, status: Status = "FINISHED", *, hurry: bool = False) -> None:
        """End the record; hurry: with little time to send what is left."""


class Tracker:
    """Opens the records of trainings."""

    def open(self, plan: "Plan", images_seen: int) -> Record:
        """Begin a record, or continue that of a training resumed at `images_seen`."""
        return Record()
