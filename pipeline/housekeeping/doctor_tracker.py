"""Checks of `gan doctor` on the tracking store, and repair of its artefact locations."""

from collections.abc import Iterator, Sequence

from pipeline.console import count_noun, list_first, one_line, short, without_secrets
from pipeline.housekeeping.doctor_leftovers import list_active
from pipeline.housekeeping.doctor_point import Point, note, ok, wrong
from pipeline.paths import Paths
from pipeline.runs.evaluated import SHORT
from pipeline.runs.find import NO_RUNS, OPEN_S, call_within
from pipeline.tracking.mlflow.reader import search_trainings
from pipeline.tracking.mlflow.store import (
    MlflowStore,
    repair_artifact_paths,
    store_exists,
    tracking_uri,
)

MOST = 500
REMEDY = (
    "records are kept for `gan sync`, which fills a new file where a damaged one was moved away"
)


def check_tracker(paths: Paths, *, repair: bool) -> Iterator[Point]:
    """Check the store. repair: first point a local store's runs to the artefacts beside it."""
    uri = tracking_uri(paths)
    place = without_secrets(uri).removeprefix("sqlite:///")
    if not store_exists(uri):
        yield note(f"{place}: {NO_RUNS}")
        return
    try:
        repaired = repair_artifact_paths(paths) if repair else 0
        store = call_within(OPEN_S, lambda: MlflowStore(uri, paths.main_root))
        runs = search_trainings(store, "", MOST)
    except Exception as error:  # of SQLite, SQLAlchemy, MLflow, requests
        yield wrong(f"{place}: {without_secrets(short(error))}", REMEDY)
        return
    number = (
        f"{MOST} or more trainings" if len(runs) == MOST else count_noun(len(runs), "training")
    )
    yield ok(f"{place}: {number}")
    if repaired:
        yield ok(f"{place}: {repaired} artefact locations repaired")
    if store.misplaced:
        yield wrong(store.misplaced)
    running = [(run.run_id, run.name) for run in runs if run.status == "RUNNING"]
    yield from _check_running(running, paths)


def _check_running(runs: Sequence[tuple[str, str]], paths: Paths) -> Iterator[Point]:
    """Compare the runs (id, name) that the store calls running with the processes here."""
    if not runs:
        return
    ours = list_active(paths)
    idle = [f"{run_id[:SHORT]} ({one_line(name)})" for run_id, name in runs if run_id not in ours]
    if idle:
        yield note(
            f"marked RUNNING, but no process on this machine records it: {list_first(idle)}",
            "if it was killed, `gan train` with its settings resumes it",
        )
    if len(idle) < len(runs):
        yield ok(f"{count_noun(len(runs) - len(idle), 'run')} recorded by running processes")
