"""`gan doctor` on the tracking store: whether it takes records, and where it has its files."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from gan.errors import GanError
from pipeline.housekeeping.doctor_leftovers import continued
from pipeline.housekeeping.doctor_point import Point, few, note, ok, wrong
from pipeline.paths import Paths
from pipeline.runs.evaluated import SHORT, one_line
from pipeline.runs.find import NO_RUNS, Runs
from pipeline.tracking.mlflow.artifact_paths import Places, local_folder, look
from pipeline.tracking.mlflow.sqlite_health import Health, newest_schema, schema_problem
from pipeline.tracking.mlflow.store import point_home, sqlite_file, store_exists, tracking_uri
from pipeline.tracking.spool.sender import without_secrets

MOST = 500
MEND = "`gan doctor --mend` lets the rows look there"


def tracker(paths: Paths, *, mend: bool) -> Iterator[Point]:
    """The store and what is in it; `mend`: put its places right before."""
    uri = tracking_uri(paths)
    database = sqlite_file(uri)
    if not store_exists(uri):
        yield note(f"{database}: {NO_RUNS}")
    elif database is None:
        yield from _server(without_secrets(uri), paths)
    else:
        yield from _file(database, paths, mend=mend)


def _server(place: str, paths: Paths) -> Iterator[Point]:
    try:
        rows = Runs(paths).list_trainings(MOST)
    except GanError as error:
        nothing = NO_RUNS in str(error)
        text = str(error)
        yield (
            ok(text) if nothing else wrong(text, "records wait here; MLFLOW_TRACKING_URI names it")
        )
        return
    number = f"{MOST} or more" if len(rows) == MOST else str(len(rows))
    yield ok(f"{place} answers: {number} trainings")
    yield from _running([(row.run_id, row.name) for row in rows if row.status == "RUNNING"], paths)


def _file(database: Path, paths: Paths, *, mend: bool) -> Iterator[Point]:
    try:
        health = Health.of(database)
    except sqlite3.Error as error:
        yield wrong(f"{database}: no store, or damaged ({error})", "move it away, then `gan sync`")
        return
    yield _state(database, health)
    try:
        if mend and (count := point_home(paths)):
            yield ok(f"{count} places in {database.name} put right")
        yield _places(look(database, paths.main_root))
    except (OSError, sqlite3.Error) as error:
        yield wrong(f"{database}: where its files lie can't be looked up or put right ({error})")
    yield from _running(health.running, paths)


def _state(database: Path, health: Health) -> Point:
    text = f"{database}: {health.trainings} trainings, {health.rows} rows"
    if problem := schema_problem(health.schema, newest_schema()):
        upgrade = f"copy it, then `mlflow db upgrade sqlite:///{database}`"
        return wrong(f"{text}; {problem}", upgrade if "older" in problem else "`make setup`")
    if health.busy:
        return note(f"{text}; another process writes to it just now")
    if not health.writable:
        return wrong(f"{text}; it can't be written to", "mend its owner or mode")
    return ok(text)


def _places(places: Places) -> Point:
    """One point of the worst kind that there is."""
    if places.copied:
        other = _folders(places.copied)
        what = f"a copied store: its files are read from and written to {other}, not to "
        return wrong(f"{what}{places.target}", MEND)
    if places.lost:
        what = f"files of some rows are gone: neither in {_folders(places.lost)} nor in "
        advice = "bring them back, or `gan doctor --mend` lets new ones go there"
        return wrong(f"{what}{places.target}", advice)
    if places.moved:
        what = f"a moved store: its files lie in {places.target}, not in {_folders(places.moved)}"
        return note(what, f"the next command that opens it, or {MEND}")
    return ok(f"files of the rows: {places.target}")


def _folders(prefixes: Sequence[str]) -> str:
    return few([str(local_folder(each)) for each in prefixes])


def _running(rows: Sequence[tuple[str, str]], paths: Paths) -> Iterator[Point]:
    if not rows:
        return
    ours = continued(paths)
    idle = [f"{run_id[:SHORT]} ({one_line(name)})" for run_id, name in rows if run_id not in ours]
    if idle:
        yield note(
            f"marked RUNNING, though no process here works on it: {few(idle)}",
            "killed, then `gan train` with its settings goes on; or it runs on another machine",
        )
    if len(idle) < len(rows):
        yield ok(f"{len(rows) - len(idle)} rows of running processes")
