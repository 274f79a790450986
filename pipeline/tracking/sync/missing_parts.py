"""What a row lacks: takes all that a training and an evaluation record, keeps the rest of it."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from gan.errors import GanError
from pipeline.tracking.mlflow.row_contents import Contents
from pipeline.tracking.run import Run, cut, dataset_fields, flat
from pipeline.tracking.spool.records import Record
from pipeline.tracking.spool.sender import Receiver, short

RECREATED = "recreated"
"""Tag of a row that was made from files."""

TOLERANCE = 1e-5
"""Relative: what the six digits of losses.tsv leave open, and a little."""


class MissingParts(Run):
    """A run whose records stay in memory: those that a row of the store lacks.

    Unlike a run's, its methods raise what goes wrong.
    """

    def __init__(
        self,
        there: Contents | None,
        when: Callable[[int | None], int],
        has_model: Callable[[Path], bool],
        kept: Path,
    ) -> None:
        """there: the row, None where there is none. when: the time (ms) of a step, or the end.

        has_model: asks the row for the model of a checkpoint. kept: a folder that stays until all
        is sent.
        """
        super().__init__(None, _nowhere, "")
        self.problems: list[str] = []
        self._has_model, self._kept = has_model, kept
        self.records: list[Record] = []
        self.points = self.files = self.different = 0
        self._there, self._when = there, when

    def _add(self, kind: str, step: int | None = None, **fields: object) -> None:
        at = {} if step is None else {"step": int(step)}
        self.records.append({"kind": kind, "time": self._when(step), **at, **fields})

    def params(self, values: Mapping[str, object]) -> None:
        known = self._there.params if self._there else ()
        if new := {key: text for key, text in flat(values) if key not in known}:
            self._add("params", values=new)

    def tags(self, values: Mapping[str, str]) -> None:
        known = self._there.tags if self._there else {}
        new = {key: text for key, text in cut(values).items() if key not in known}
        if "protocols" in values and "protocols" in known:
            new |= _joined(known["protocols"], values["protocols"])
        if new:
            self._add("tags", values=new)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        new = {key: float(value) for key, value in values.items() if self._lacks(key, value, step)}
        self.points += len(new)
        if new:
            self._add("metrics", step, values=new)

    def _lacks(self, key: str, value: float, step: int) -> bool:
        known = self._there.points.get(key, {}) if self._there else {}
        if step not in known:
            return True
        same = math.isclose(value, known[step], rel_tol=TOLERANCE, abs_tol=1e-12)
        self.different += not same and not (math.isnan(value) and math.isnan(known[step]))
        return False

    def image(self, key: str, file: Path, step: int) -> None:
        known = self._there.images if self._there else ()
        if file.is_file() and (key, step) not in known:
            self.files += 1
            self._add("image", step, key=key, file=str(file.absolute()))

    def first_image(self, key: str, file: Path, step: int) -> None:
        """A picture of a series of which the row has none."""
        if not self._there or not any(known == key for known, _ in self._there.images):
            self.image(key, file, step)

    def artifact(self, file: Path, folder: str = "") -> None:
        known = self._there.files if self._there else ()
        if file.is_file() and f"{folder}/{file.name}" not in known:
            self.files += 1
            self._add("artifact", file=str(file.absolute()), folder=folder)

    def dataset(
        self,
        name: str,
        digest: str,
        source: Mapping[str, object],
        profile: Mapping[str, object],
        context: str = "training",
    ) -> None:
        fields = dataset_fields(name, digest, source, profile, context)
        if not self._there or fields["digest"] not in self._there.datasets:
            self._add("dataset", None, **fields)

    def attempt(self, work: Callable[[], None]) -> None:
        """A checkpoint may be damaged, and an older evaluation say less than a card needs."""
        try:
            work()
        except (GanError, KeyError, TypeError, ValueError) as error:
            self.problems.append(f"no model ({short(error)})")

    def model(self, checkpoint: Path, card: Path) -> None:
        if checkpoint.is_file() and not (self._there and self._has_model(checkpoint)):
            self.files += 1
            files = [str(checkpoint.absolute()), str(shutil.copy(card, self._kept))]
            self._add("model", files=files)

    def links(self) -> None:
        if self._there is None:
            self._add("links")

    def ended(self) -> None:
        """The training is over: say so where the row does not; comes after all else."""
        there = self._there
        if there is None or there.status != "FINISHED" or _begun_only(there, self._when(None)):
            self._add("end", None, status="FINISHED")


def _begun_only(there: Contents, end: int) -> bool:
    """Whether a row was made from files by somebody who did not come to its end."""
    return RECREATED in there.tags and there.ended == there.started != end


def _nowhere() -> Receiver:
    raise NotImplementedError("what is missing is sent by whoever asked for it")


def _joined(known: str, new: str) -> dict[str, str]:
    try:
        there = json.loads(known)
    except ValueError:
        there = {}
    joined = json.loads(new) | there
    return {"protocols": json.dumps(joined)} if joined != there else {}
