"""Missing parts of an MLflow run: the records of training and evaluation that the run lacks."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from gan.errors import GanError
from pipeline.console import short
from pipeline.tracking.mlflow.logged_run import LoggedRun
from pipeline.tracking.run import Run, dataset_fields, flatten, truncate_tags
from pipeline.tracking.run_folder.folder import Record
from pipeline.tracking.run_folder.sender import RecordWriter

RECREATED = "recreated"
"""Tag of a run that was made from files."""

TOLERANCE = 1e-5
"""Relative: the rounding of losses.tsv to six digits, and a little."""


class MissingParts(Run):
    """A run whose records stay in memory: those that a run of the store lacks.

    Unlike a run's, its methods raise errors.
    """

    def __init__(
        self,
        logged: LoggedRun | None,
        time_of: Callable[[int | None], int],
        has_model: Callable[[Path], bool],
        workspace: Path,
    ) -> None:
        """logged: the store's run, None if there is none. time_of: time of a step, or of the end.

        has_model: whether the store's run has the model of a checkpoint. workspace: a folder that
        stays until all is sent. Times are in milliseconds.
        """
        super().__init__(None, _no_writer, "")
        self.problems: list[str] = []
        self._has_model, self._workspace = has_model, workspace
        self.records: list[Record] = []
        self.points = self.files = self.different = 0
        self._logged, self._time_of = logged, time_of

    def _add(self, kind: str, step: int | None = None, **fields: object) -> None:
        at = {} if step is None else {"step": int(step)}
        self.records.append({"kind": kind, "time": self._time_of(step), **at, **fields})

    def params(self, values: Mapping[str, object]) -> None:
        known = self._logged.params if self._logged else ()
        if new := {key: text for key, text in flatten(values) if key not in known}:
            self._add("params", values=new)

    def tags(self, values: Mapping[str, str]) -> None:
        known = self._logged.tags if self._logged else {}
        new = {key: text for key, text in truncate_tags(values).items() if key not in known}
        if "protocols" in values and "protocols" in known:
            new |= _merge_protocols(known["protocols"], values["protocols"])
        if new:
            self._add("tags", values=new)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        new = {key: float(value) for key, value in values.items() if self._lacks(key, value, step)}
        self.points += len(new)
        if new:
            self._add("metrics", step, values=new)

    def _lacks(self, key: str, value: float, step: int) -> bool:
        known = self._logged.points.get(key, {}) if self._logged else {}
        if step not in known:
            return True
        same = math.isclose(value, known[step], rel_tol=TOLERANCE, abs_tol=1e-12)
        self.different += not same and not (math.isnan(value) and math.isnan(known[step]))
        return False

    def image(self, key: str, file: Path, step: int) -> None:
        known = self._logged.images if self._logged else ()
        if file.is_file() and (key, step) not in known:
            self.files += 1
            self._add("image", step, key=key, file=str(file.absolute()))

    def first_image(self, key: str, file: Path, step: int) -> None:
        """Add a picture of a series of which the run has none."""
        if not self._logged or not any(known == key for known, _ in self._logged.images):
            self.image(key, file, step)

    def artifact(self, file: Path, artifact_path: str = "") -> None:
        known = self._logged.files if self._logged else ()
        if file.is_file() and f"{artifact_path}/{file.name}" not in known:
            self.files += 1
            self._add("artifact", file=str(file.absolute()), folder=artifact_path)

    def dataset(
        self,
        name: str,
        digest: str,
        source: Mapping[str, object],
        profile: Mapping[str, object],
        context: str = "training",
    ) -> None:
        fields = dataset_fields(name, digest, source, profile, context)
        if not self._logged or fields["digest"] not in self._logged.datasets:
            self._add("dataset", None, **fields)

    def attempt(self, action: Callable[[], None]) -> None:
        """Call `action`: a checkpoint may be damaged, an older evaluation lack parts of a card."""
        try:
            action()
        except (GanError, KeyError, TypeError, ValueError) as error:
            self.problems.append(f"no model ({short(error)})")

    def model(self, checkpoint: Path, card: Path) -> None:
        if checkpoint.is_file() and not (self._logged and self._has_model(checkpoint)):
            self.files += 1
            files = [str(checkpoint.absolute()), str(shutil.copy(card, self._workspace))]
            self._add("model", files=files)

    def links(self) -> None:
        if self._logged is None:
            self._add("links")

    def end(self) -> None:
        """Set status and end where the run lacks them; comes after all other records."""
        logged = self._logged
        if (
            logged is None
            or logged.status != "FINISHED"
            or _is_unfinished(logged, self._time_of(None))
        ):
            self._add("end", None, status="FINISHED")


def _is_unfinished(logged: LoggedRun, end: int) -> bool:
    """Whether a `gan sync` that made the run from files was stopped before its end."""
    return RECREATED in logged.tags and logged.ended == logged.started != end


def _no_writer() -> RecordWriter:
    raise NotImplementedError("missing parts are sent by their caller")


def _merge_protocols(known: str, new: str) -> dict[str, str]:
    try:
        old = json.loads(known)
    except ValueError:
        old = {}
    merged = json.loads(new) | old
    return {"protocols": json.dumps(merged)} if merged != old else {}
