"""Tracker of a training: an MLflow run that a killed training continues."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.paths import Paths
from pipeline.tracking import run_times
from pipeline.tracking.descriptions import describe_training
from pipeline.tracking.open_run import experiment_name, start_run
from pipeline.tracking.run import Run
from pipeline.training.tracker import Status, TrainingRun

HURRY_S = 5.0
"""Seconds to send the last records of a training that was asked to stop."""


class MlflowTracker:
    """Implementation of `pipeline.training.tracker.Tracker`; a context around the stage.

    A training that returned from the stage has its outs in place: only then its local records may
    go, if MLflow has them all. Before that a training that resumes belongs to the same MLflow run.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._run: Run | None = None
        self._run_key = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._run is not None:
            self._run.remove_if_sent()
            run_times.finish(self._paths, self._run_key)

    @property
    def run(self) -> Run:
        """The open run; RuntimeError before `open`."""
        if self._run is None:
            raise RuntimeError("the tracker is not open")
        return self._run

    def open(self, run: TrainingRun, images_seen: int) -> None:
        run_times.begin(self._paths, run.run_key)
        self._run_key = run.run_key
        self._run = start_run(
            self._paths,
            experiment=experiment_name(),
            name=run.name,
            run_key=run.run_key,
            folder=run.folder,
            resumed_from=images_seen,
        )
        describe_training(self._run, run.lineage)
        self._run.tags(run.environment)
        self._run.links()

    def tags(self, values: Mapping[str, str]) -> None:
        self.run.tags(values)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.run.metrics(values, step)

    def system_metrics(self, step: int) -> None:
        self.run.system_metrics(step)

    def image(self, key: str, file: Path, step: int) -> None:
        self.run.image(key, file, step)

    def artifact(self, file: Path, folder: str = "") -> None:
        self.run.artifact(file, folder)

    def prepare(self, step: int) -> None:
        self.run.prepare(step)

    def commit(self, step: int) -> None:
        self.run.commit()

    def drop(self) -> None:
        self.run.drop()

    def close(self, status: Status, *, hurry: bool = False) -> None:
        self.run.close(status, HURRY_S if hurry else None)
