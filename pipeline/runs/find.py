"""Search for runs, in the MLflow store and among files that an evaluation wrote."""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from gan.errors import GanError
from pipeline.console import list_first, one_line, warn, without_secrets
from pipeline.paths import Paths
from pipeline.runs.evaluated import (
    SHORT,
    EvaluatedRun,
    evaluated_from,
    label_of,
    read_evaluation,
    to_count,
)
from pipeline.tracking.mlflow.reader import StoredRun, search_trainings
from pipeline.tracking.mlflow.store import MlflowStore, store_exists, tracking_uri

FILE = "evaluation.json"
LATEST = "latest"
LAST = ("best_images_seen", "loss/generator")  # metrics that are logged to the end

SORTABLE = re.compile(r"[\w./: -]+")  # names of metrics that MLflow takes in order_by
HEX = re.compile(r"[0-9a-f]{6,64}")
MOST_OF_A_NAME = 200
MOST_LISTED = 5
OPEN_S = 60.0  # a database server may let its client try again for minutes

NO_RUNS = "no runs recorded yet; `dvc repro` or `gan train` makes the first"

P = ParamSpec("P")
T = TypeVar("T")


class UnknownRunError(GanError):
    """No such run in the store, or a store that does not answer."""


@dataclass(frozen=True)
class Training:
    """A training, evaluated or not. best: images seen by the snapshot that evaluation chose."""

    label: str
    run_key: str
    run_id: str | None
    best: int | None


Method = Callable[Concatenate["Runs", P], T]


def ask_store(method: Method[P, T]) -> Method[P, T]:
    """Decorate a method of Runs: UnknownRunError, one line, if the store does not answer."""

    @wraps(method)
    def ask(self: "Runs", /, *args: P.args, **options: P.kwargs) -> T:
        try:
            return method(self, *args, **options)
        except GanError:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {without_secrets(one_line(str(error)))}"[:200]
            why = "the server does not answer" if "ConnectionPool" in text else text
            raise UnknownRunError(
                f"{self._place}: runs cannot be read: {why}; look at the store and at "
                "MLFLOW_TRACKING_URI"
            ) from None

    return ask


class Runs:
    """Search for trainings. A run is named by its id or run key, by 6 digits or more of one, by
    its name, by `latest`, or by the file or folder of its evaluation.

    The store is opened by the first search. Every method raises UnknownRunError if it does not
    answer, and GanError if several runs fit a name.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._uri = tracking_uri(paths)
        self._place = without_secrets(self._uri).removeprefix("sqlite:///")

    def find(self, name: str) -> StoredRun:
        """The run in the store."""
        found = self._find_all(name)
        if not found:
            raise UnknownRunError(
                f"{one_line(name)!r}: no training of this name, id or run key in {self._place} "
                "(an id or key needs 6 digits at least); `gan runs` lists them"
            )
        if len(found) > 1:
            digits = digits_of_ids(found)
            choices = [f"{run.run_id[:digits]} ({one_line(run.name)})" for run in found]
            listed = list_first(choices, MOST_LISTED)
            raise GanError(f"{one_line(name)!r} may be {listed}; give the id of one")
        return found[0]

    def find_evaluated(self, name: str) -> EvaluatedRun:
        """The run with its metrics; GanError if it was not evaluated."""
        file = _evaluation_file(name)
        return read_evaluation(file) if file else evaluated_from(self.find(name))

    def find_training(self, name: str) -> Training:
        """The training of a run; GanError if the name is that of an evaluation of images."""
        if file := _evaluation_file(name):
            evaluated = read_evaluation(file)
            if evaluated.run_key is None:
                raise GanError(
                    f"{file}: an evaluation of images, not of a checkpoint; name a training"
                )
            return Training(evaluated.label, evaluated.run_key, None, evaluated.images_seen)
        run = self.find(name)
        best = to_count(run.metrics.get("best_images_seen"))
        return Training(label_of(run), run.tags["run_key"], run.run_id, best)

    @ask_store
    def list_trainings(
        self, limit: int, by: str | None = None, *, lower_first: bool = True
    ) -> list[StoredRun]:
        """Trainings, the newest first, or sorted by a metric; those without it come last.

        GanError if there are none.
        """
        direction = "ASC" if lower_first else "DESC"
        order = [f"metrics.`{by}` {direction}"] if by and SORTABLE.fullmatch(by) else []
        runs = search_trainings(self._store, "", limit, order)
        if not runs:
            raise UnknownRunError(f"{self._place}: {NO_RUNS}")
        return runs

    @ask_store
    def list_files(self, run_id: str, folder: str) -> dict[str, int]:
        """Files in a folder of a run's artefacts, with their sizes in bytes."""
        found = self._store.client.list_artifacts(run_id, folder)
        return {each.path: each.file_size or 0 for each in found if not each.is_dir}

    @ask_store
    def last_step(self, run_id: str) -> int | None:
        """The greatest step of the metrics that a training or an evaluation ends with."""
        histories = (self._store.client.get_metric_history(run_id, key) for key in LAST)
        return max((int(point.step) for points in histories for point in points), default=None)

    @ask_store
    def download(self, run_id: str, file: str, into: Path) -> Path:
        """Copy an artefact into a folder; returns the copy."""
        return Path(self._store.client.download_artifacts(run_id, file, str(into)))

    @ask_store
    def _find_all(self, name: str) -> list[StoredRun]:
        if name == LATEST:
            return search_trainings(self._store, "", 1)
        by_id, others = [], []
        if HEX.fullmatch(digits := name.lower()):
            by_id = self._search(f"attributes.run_id LIKE '{digits}%'")
            others = self._search(f"tags.run_key LIKE '{digits}%'")
        quote = '"' if "'" in name else "'"
        if quote not in name:  # there is no way to quote both kinds of quotes
            others += self._search(f"attributes.run_name = {quote}{name}{quote}")
        return list({run.run_id: run for run in [*by_id, *drop_repetitions(others)]}.values())

    def _search(self, condition: str) -> list[StoredRun]:
        return search_trainings(self._store, condition, MOST_OF_A_NAME)

    @cached_property
    def _store(self) -> MlflowStore:
        if not store_exists(self._uri):
            raise UnknownRunError(f"{self._place}: {NO_RUNS}")
        store = call_within(OPEN_S, lambda: MlflowStore(self._uri, self._paths.main_root))
        if store.misplaced:
            warn(store.misplaced)
        return store


def _evaluation_file(name: str) -> Path | None:
    """The evaluation at a path; None if the name is no path."""
    path = Path(name)
    if path.is_dir():
        if (path / FILE).is_file():
            return path / FILE
        if "/" in name:
            raise GanError(f"{name}: a folder without {FILE}; `gan evaluate --out` writes one")
        return None
    if path.is_file():
        return path
    if "/" in name or path.suffix == ".json":
        raise GanError(f"{name}: no such file; `gan evaluate --out` writes {FILE}")
    return None


def drop_repetitions(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """One run a run key, since these are the same training: the newest evaluated run, else the
    newest."""
    best: dict[str, StoredRun] = {}
    for run in sorted(runs, key=lambda run: ("protocols" in run.tags, run.started)):
        best[run.tags["run_key"]] = run
    return sorted(best.values(), key=lambda run: -run.started)


def digits_of_ids(runs: Sequence[StoredRun]) -> int:
    """How many digits of the runs' ids tell them apart."""
    ids = {run.run_id for run in runs}
    return next(n for n in range(SHORT, 33) if len({each[:n] for each in ids}) == len(ids))


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """Result of `function`, or its exception; TimeoutError if it takes longer."""
    results: list[T] = []
    errors: list[Exception] = []

    def call() -> None:
        try:
            results.append(function())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call, name="tracking", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return results[0]
