"""Which run a person means: rows of the tracker, or files that an evaluation wrote."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.evaluated import (
    SHORT,
    Evaluated,
    from_file,
    from_row,
    label_of,
    one_line,
    whole,
)
from pipeline.tracking.mlflow.reader import MlflowRows, StoredRun
from pipeline.tracking.mlflow.store import store_exists, tracking_uri
from pipeline.tracking.spool.sender import without_secrets

FILE = "evaluation.json"
LATEST = "latest"
LAST = ("best_images_seen", "loss/generator")  # metrics that are logged to the end

SORTABLE = re.compile(r"[\w./: -]+")  # what MLflow takes as a metric's name
HEX = re.compile(r"[0-9a-f]{6,64}")
MOST_ROWS = 200  # of one name; more than a person tells apart
MOST_LISTED = 5
OPEN_S = 60.0  # a database server may let its client try again for minutes

NONE_YET = "no runs recorded yet; `dvc repro` or `gan train` makes the first"

T = TypeVar("T")


class UnknownRunError(GanError):
    """The tracker doesn't know such a run, or can't be asked."""


@dataclass(frozen=True)
class Training:
    """Whose checkpoint is looked for. best: images seen by the snapshot that was chosen."""

    label: str
    run_key: str
    run_id: str | None
    best: int | None


class Runs:
    """Finds runs by id, run key or an unambiguous beginning of one, by name, file or `latest`.

    The tracker's store is opened when it is first needed.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._uri = tracking_uri(paths)
        self._place = without_secrets(self._uri).removeprefix("sqlite:///")

    def evaluated(self, given: str) -> Evaluated:
        """The numbers of a run; GanError if it is unknown, ambiguous or not evaluated."""
        file = _file(given)
        return from_file(file) if file else from_row(self._row(given))

    def training(self, given: str) -> Training:
        """The training of a run, evaluated or not; GanError if it is unknown or ambiguous."""
        if file := _file(given):
            found = from_file(file)
            if found.run_key is None:
                raise GanError(f"{file}: judged images, not a checkpoint; there is no training")
            return Training(found.label, found.run_key, None, found.images_seen)
        row = self._row(given)
        best = whole(row.metrics.get("best_images_seen"))
        return Training(label_of(row), row.tags["run_key"], row.run_id, best)

    def listed(self, most: int, by: str | None = None, *, lower: bool = True) -> list[StoredRun]:
        """Trainings, the newest first, or by a metric: the lower or the higher ones, none last.

        GanError if there are none.
        """
        end = "ASC" if lower else "DESC"
        order = [f"metrics.`{by}` {end}"] if by and SORTABLE.fullmatch(by) else []
        found = self._asked(lambda: self._store.trainings("", most, order))
        if not found:
            raise UnknownRunError(f"{self._place}: {NONE_YET}")
        return found

    def files(self, run_id: str, folder: str) -> dict[str, int]:
        """Files in a folder of a row's artefacts, with their bytes."""
        return self._asked(lambda: self._store.files(run_id, folder))

    def last_step(self, run_id: str) -> int | None:
        """The greatest step of a row's metrics that a training or an evaluation ends with."""
        return self._asked(lambda: self._store.last_step(run_id, LAST))

    def download(self, run_id: str, file: str, into: Path) -> Path:
        """Copy an artefact into a folder; returns the copy."""
        return self._asked(lambda: self._store.download(run_id, file, into))

    def _row(self, given: str) -> StoredRun:
        found = self._asked(lambda: list(self._candidates(given)))
        if not found:
            raise UnknownRunError(
                f"{_quoted(given)}: no training of this name, id or run key in {self._place} "
                "(an id or key needs 6 digits at least); `gan runs` shows what there is"
            )
        if len(found) > 1:
            raise GanError(f"{_quoted(given)} may be {_listed(found)}; give the id of one")
        return found[0]

    def _candidates(self, given: str) -> Iterator[StoredRun]:
        """Trainings that may be meant; of several rows with one run key the one to read."""
        if given == LATEST:
            yield from self._store.trainings("", 1)
            return
        digits = given.lower()
        by_id: list[StoredRun] = []
        others: list[StoredRun] = []
        if HEX.fullmatch(digits):
            by_id = self._store.trainings(f"attributes.run_id LIKE '{digits}%'", MOST_ROWS)
            others = self._store.trainings(f"tags.run_key LIKE '{digits}%'", MOST_ROWS)
        if condition := _named(given):
            others += self._store.trainings(condition, MOST_ROWS)
        yield from {row.run_id: row for row in [*by_id, *_one_a_key(others)]}.values()

    @cached_property
    def _store(self) -> MlflowRows:
        if not store_exists(self._uri):
            raise UnknownRunError(f"{self._place}: {NONE_YET}")
        return _within(OPEN_S, lambda: MlflowRows(self._uri, self._paths.main_root))

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except GanError:
            raise
        except Exception as error:
            raise UnknownRunError(
                f"{self._place} can't be asked for runs: {_reason(error)}"
            ) from None


def _file(given: str) -> Path | None:
    """The evaluation file that is meant; None if what is given is no path."""
    path = Path(given)
    if path.is_dir():
        if (path / FILE).is_file():
            return path / FILE
        if "/" in given:
            raise GanError(f"{given}: a folder without {FILE}; `gan evaluate --out` writes one")
        return None
    if path.is_file():
        return path
    if "/" in given or path.suffix == ".json":
        raise GanError(f"{given}: no such file")
    return None


def _named(given: str) -> str | None:
    """MLflow's filter for a run's name; it knows no way to quote both kinds of quotes."""
    quote = '"' if "'" in given else "'"
    return None if quote in given else f"attributes.run_name = {quote}{given}{quote}"


def _one_a_key(rows: Sequence[StoredRun]) -> list[StoredRun]:
    """Rows with one run key are one training: the newest evaluated row, else the newest."""
    best: dict[str, StoredRun] = {}
    for row in sorted(rows, key=lambda row: ("protocols" in row.tags, row.started)):
        best[row.tags["run_key"]] = row
    return sorted(best.values(), key=lambda row: -row.started)


def digits_to_tell(rows: Sequence[StoredRun]) -> int:
    """How long the beginnings of the rows' ids must be to tell them apart."""
    ids = {row.run_id for row in rows}
    return next(n for n in range(SHORT, 33) if len({each[:n] for each in ids}) == len(ids))


def _listed(rows: Sequence[StoredRun]) -> str:
    """Ids long enough to tell them apart, with name and start."""
    digits = digits_to_tell(rows)
    shown = [
        f"{row.run_id[:digits]} ({one_line(row.name)}, {_started(row)})"
        for row in rows[:MOST_LISTED]
    ]
    rest = len(rows) - MOST_LISTED
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _started(row: StoredRun) -> str:
    return datetime.fromtimestamp(row.started / 1000).strftime("%Y-%m-%d %H:%M")


def _quoted(given: str) -> str:
    return repr(one_line(given))


def _reason(error: Exception) -> str:
    text = without_secrets(one_line(str(error)))
    if "ConnectionPool" in text:
        return "the server does not answer"
    return f"{type(error).__name__}: {text}"[:200]


def _within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises; TimeoutError if it takes longer."""
    done: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="tracking", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return done[0]
