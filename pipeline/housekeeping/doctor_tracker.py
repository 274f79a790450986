"""Checks of `gan doctor` on the tracking store, and repair of its artefact locations."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from gan.errors import GanError
from pipeline.console import count_noun, list_first, one_line, without_secrets
from pipeline.housekeeping.doctor_leftovers import list_active
from pipeline.housekeeping.doctor_point import Point, note, ok, wrong
from pipeline.paths import Paths
from pipeline.runs.evaluated import SHORT
from pipeline.runs.find import NO_RUNS, Runs
from pipeline.tracking.mlflow.artifact_paths import artifact_folder, list_foreign_roots
from pipeline.tracking.mlflow.database_status import DatabaseStatus, newest_schema, schema_problem
from pipeline.tracking.mlflow.store import (
    repair_artifact_paths,
    sqlite_file,
    store_exists,
    tracking_uri,
)

MOST = 500
REPAIR = "`gan doctor --repair` points its runs there"


def check_tracker(paths: Paths, *, repair: bool) -> Iterator[Point]:
    """Check the store. repair: first point a local store's runs to the artefacts beside it."""
    uri = tracking_uri(paths)
    database = sqlite_file(uri)
    if not store_exists(uri):
        yield note(f"{database}: {NO_RUNS}")
    elif database is None:
        yield from _check_server(without_secrets(uri), paths)
    else:
        yield from _check_file(database, paths, repair=repair)


def _check_server(place: str, paths: Paths) -> Iterator[Point]:
    try:
        runs = Runs(paths).list_trainings(MOST)
    except GanError as error:
        text = str(error)
        yield ok(text) if NO_RUNS in text else wrong(text, "records are kept for `gan sync`")
        return
    number = f"{MOST} or more" if len(runs) == MOST else str(len(runs))
    yield ok(f"{place} answers: {number} trainings")
    running = [(run.run_id, run.name) for run in runs if run.status == "RUNNING"]
    yield from _check_running(running, paths)


def _check_file(database: Path, paths: Paths, *, repair: bool) -> Iterator[Point]:
    try:
        status = DatabaseStatus.read(database)
    except sqlite3.Error as error:
        yield wrong(
            f"{database}: no store, or damaged ({error})",
            "move it away, then `gan sync` fills a new one",
        )
        return
    yield _check_state(database, status)
    try:
        if repair and (count := repair_artifact_paths(paths)):
            yield ok(f"{database.name}: {count} artefact locations repaired")
        yield _check_artifacts(database, artifact_folder(database, paths.main_root))
    except (OSError, sqlite3.Error) as error:
        yield wrong(f"{database}: its artefact locations can't be read or repaired ({error})")
    yield from _check_running(status.running, paths)


def _check_state(database: Path, status: DatabaseStatus) -> Point:
    trainings = count_noun(status.trainings, "training")
    text = f"{database}: {trainings} in {count_noun(status.runs, 'run')}"
    if problem := schema_problem(status.schema, newest_schema()):
        upgrade = f"copy it, then `mlflow db upgrade sqlite:///{database}`"
        return wrong(f"{text}; {problem}", upgrade if "older" in problem else "`make setup`")
    if status.busy:
        return note(f"{text}; another process is writing to it")
    if not status.writable:
        return wrong(f"{text}; not writable", "change its owner or mode")
    return ok(text)


def _check_artifacts(database: Path, home: Path) -> Point:
    if roots := list_foreign_roots(database, home):
        folders = list_first([str(each) for each in roots])
        return wrong(f"artefacts are read from and written to {folders}, not {home}", REPAIR)
    return ok(f"artefacts: {home}")


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
