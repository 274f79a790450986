"""Search for runs, in the MLflow store and among files that an evaluation wrote."""

import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from gan.errors import GanError
from pipeline.console import list_first, one_line, warn, without_secrets
from pipeline.paths import Paths
from pipeline.runs.evaluated import (
    SHORT,
    EvaluatedRun,
    best_of,
    evaluated_from,
    label_of,
    read_evaluation,
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

T = TypeVar("T")


class UnknownRunError(GanError):
    """No such run in the store, or a store that does not answer."""


@dataclass(frozen=True)
class Training:
    """A training, evaluated or not. best: images seen by the snapshot that evaluation chose.

    last_step: the greatest of the metrics that a training or an evaluation ends with.
    """

    label: str
    run_key: str
    run_id: str | None = None
    best: int | None = None
    last_step: int | None = None


class Runs:
    """Search for trainings. A run is named by its id or run key, by 6 digits or more of one, by
    its name, by `latest`, or by the file or folder of its evaluation.

    The store is opened by the first search. Every method raises UnknownRunError if it does not
    answer, and GanError if several runs fit a name.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._uri = tracking_uri(paths)
        self._place = place_of(self._uri)

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
            return Training(evaluated.label, evaluated.run_key, best=evaluated.images_seen)
        run = self.find(name)
        last = max((run.steps[key] for key in LAST if key in run.steps), default=None)
        return Training(label_of(run), run.tags["run_key"], run.run_id, best_of(run), last)

    def list_trainings(
        self, limit: int, by: str | None = None, *, lower_first: bool = True
    ) -> list[StoredRun]:
        """Trainings, the newest first, or sorted by a metric; those without it come last.

        GanError if there are none.
        """
        direction = "ASC" if lower_first else "DESC"
        order = [f"metrics.`{by}` {direction}"] if by and SORTABLE.fullmatch(by) else []
        runs = self._search("", limit, order)
        if not runs:
            raise UnknownRunError(f"{self._place}: {NO_RUNS}")
        return runs

    def list_files(self, run_id: str, folder: str) -> dict[str, int]:
        """Files in a folder of a run's artefacts, with their sizes in bytes."""
        with self._ask() as store:
            found = store.client.list_artifacts(run_id, folder)
            return {each.path: each.file_size or 0 for each in found if not each.is_dir}

    def download(self, run_id: str, file: str, into: Path) -> Path:
        """Copy an artefact into a folder; returns the copy."""
        with self._ask() as store:
            return Path(store.client.download_artifacts(run_id, file, str(into)))

    def read_artifact(self, run_id: str, name: str) -> bytes | None:
        """Content of an artefact; None if there is none of this name."""
        if name not in self.list_files(run_id, name.rpartition("/")[0]):
            return None
        with tempfile.TemporaryDirectory(prefix="gan-") as into:
            return self.download(run_id, name, Path(into)).read_bytes()

    def _find_all(self, name: str) -> list[StoredRun]:
        if name == LATEST:
            return self._search("", 1)
        by_id, others = [], []
        if HEX.fullmatch(digits := name.lower()):
            by_id = self._search(f"attributes.run_id LIKE '{digits}%'")
            others = self._search(f"tags.run_key LIKE '{digits}%'")
        quote = '"' if "'" in name else "'"
        if quote not in name:  # there is no way to quote both kinds of quotes
            others += self._search(f"attributes.run_name = {quote}{name}{quote}")
        return list({run.run_id: run for run in [*by_id, *drop_repetitions(others)]}.values())

    def _search(
        self, condition: str, most: int = MOST_OF_A_NAME, order: Sequence[str] = ()
    ) -> list[StoredRun]:
        with self._ask() as store:
            return search_trainings(store, condition, most, order)

    @contextmanager
    def _ask(self) -> Iterator[MlflowStore]:
        """The store, for a block; UnknownRunError if it does not answer."""
        with store_errors(self._uri, "runs cannot be read"):
            yield self._store

    @cached_property
    def _store(self) -> MlflowStore:
        if not store_exists(self._uri):
            raise UnknownRunError(f"{self._place}: {NO_RUNS}")
        store = call_within(OPEN_S, lambda: MlflowStore(self._uri, self._paths.main_root))
        if store.misplaced:
            warn(store.misplaced)
        return store


@contextmanager
def store_errors(uri: str, problem: str) -> Iterator[None]:
    """Make an UnknownRunError, one line, of whatever a store raises."""
    try:
        yield
    except GanError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {without_secrets(one_line(str(error)))}"[:200]
        why = "the server does not answer" if "ConnectionPool" in text else text
        raise UnknownRunError(
            f"{place_of(uri)}: {problem}: {why}; look at the store and at MLFLOW_TRACKING_URI"
        ) from None


def place_of(uri: str) -> str:
    """A store's address for messages: without secrets, or the file."""
    return without_secrets(uri).removeprefix("sqlite:///")


def _evaluation_file(name: str) -> Path | None:
    """The evaluation at a path; None if the name is no path."""
    path = Path(name)
    file = path / FILE if path.is_dir() else path
    if file.is_file():
        return file
    if "/" in name or path.suffix == ".json":
        raise GanError(f"{name}: no {FILE} is here; `gan evaluate --out` writes one")
    return None


def drop_repetitions(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """One run a run key, since these are the same training: the newest evaluated run, else the
    newest."""
    ordered = sorted(runs, key=lambda run: ("protocols" in run.tags, run.started))
    best = {run.tags["run_key"]: run for run in ordered}
    return sorted(best.values(), key=lambda run: -run.started)


def digits_of_ids(runs: Sequence[StoredRun]) -> int:
    """How many digits of the runs' ids tell them apart."""
    ids = {run.run_id for run in runs}
    return next(n for n in range(SHORT, 33) if len({each[:n] for each in ids}) == len(ids))


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """Result of `function`, or its exception; TimeoutError if it takes longer."""
    result: Future[T] = Future()

    def call() -> None:
        try:
            result.set_result(function())
        except Exception as error:
            result.set_exception(error)

    threading.Thread(target=call, name="tracking", daemon=True).start()
    if not wait([result], seconds).done:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return result.result()
