"""`gan doctor`: checks of the checkout, its tools and its store, with remedies.

A check is a function of the paths that yields results. It looks at what the other commands, dvc
and mlflow don't say themselves.
"""

import fcntl
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from gan.errors import GanError
from gan.params.file import load_params
from pipeline.console import count_noun, list_first, one_line, short, tell, without_secrets
from pipeline.dataset.reader import Dataset
from pipeline.features.inception_file import missing_message, weights_file
from pipeline.housekeeping.weights import check_sha256
from pipeline.paths import Paths
from pipeline.runs.evaluated import SHORT
from pipeline.runs.find import NO_RUNS, OPEN_S, call_within, place_of
from pipeline.tracking.mlflow.reader import search_trainings
from pipeline.tracking.mlflow.store import (
    MlflowStore,
    repair_artifact_paths,
    store_exists,
    tracking_uri,
)
from pipeline.tracking.provenance.git import Git
from pipeline.tracking.run_folder.folder import read_state
from pipeline.tracking.run_folder.kept_folders import find_kept_folders

LOW, TOO_LOW = 5 << 30, 1 << 30  # bytes
MOST = 500  # trainings that are counted


@dataclass(frozen=True)
class Point:
    """Result of a check. note: worth knowing, but nothing fails; wrong: something will fail."""

    level: Literal["ok", "note", "wrong"]
    text: str


Points = Iterator[Point]

ok, note, wrong = (partial(Point, level) for level in ("ok", "note", "wrong"))


def run(paths: Paths, *, repair: bool) -> None:
    """Print a line a check; exit with 1 if something is wrong. repair: see `check_tracker`."""
    wrong_points = 0
    for point in run_checks(paths, repair=repair):
        tell(f"{point.level:<5}  {one_line(point.text)}")
        wrong_points += point.level == "wrong"
    if wrong_points:
        raise SystemExit(1)


def run_checks(paths: Paths, *, repair: bool = False) -> Points:
    """Run all checks; one that raises is a line, and hides no other."""
    checks: dict[str, Callable[[Paths], Points]] = {
        "torch": check_torch,
        "repository": check_repository,
        "disk": check_disk,
        "params.yaml": check_params,
        "data/": check_data,
        "weights/": check_weights,
        "tracking store": partial(check_tracker, repair=repair),
        "unsent records": check_records,
        "unfinished trainings": check_trainings,
    }
    for name, check in checks.items():
        try:
            yield from check(paths)
        except GanError as error:
            yield wrong(str(error))
        except Exception as error:
            yield wrong(f"{name}: can't be checked ({type(error).__name__}: {error})")


def check_torch(paths: Paths) -> Points:
    """Check torch, and show the device and precision that `auto` chooses."""
    import torch

    from gan.devices import choose_compute

    compute = choose_compute("auto", "auto")
    kind = compute.device.type
    device = torch.cuda.get_device_name() if kind == "cuda" else kind
    yield ok(
        f"Python {platform.python_version()}, torch {torch.__version__} on {device}, "
        f"{torch.get_num_threads()} threads; the fastest precision is {compute.precision}"
    )


def check_repository(paths: Paths) -> Points:
    """Check that `dvc repro` can run, and that runs can record their commit."""
    missing = [name for name in ("dvc.yaml", ".dvc") if not (paths.root / name).exists()]
    if missing:
        yield wrong(f"{paths.root}: no {', no '.join(missing)}; change to the repository's folder")
        return
    git = Git(paths.root)
    commit = git.text("rev-parse", "--short", "HEAD")
    if commit is None:
        yield note("no Git commit, which runs record; install Git and `git commit`")
        return
    changes = len((git.text("status", "--porcelain") or "").splitlines())
    text = f"DVC {version('dvc')}, Git at {commit}, {changes or 'no'} files changed"
    yield ok(f"{text}; `dvc status` compares the outs")


def check_disk(paths: Paths) -> Points:
    """Check disk space."""
    free = shutil.disk_usage(paths.main_root).free
    text = f"{free / 2**30:,.1f} GiB of disk space are free"
    if free >= LOW:
        yield ok(text)
    else:
        level = note if free >= TOO_LOW else wrong
        yield level(f"{text}; `gan clean --remove` and `dvc gc -w` free some")


def check_params(paths: Paths) -> Points:
    """Check params.yaml."""
    load_params(paths.root / "params.yaml")
    yield ok("params.yaml is valid")


def check_data(paths: Paths) -> Points:
    """Check names and sizes of the files in data/."""
    if not paths.data.exists():
        yield note("data/ is absent; `dvc repro` or `gan scrape --ensure` brings it")
        return
    dataset = Dataset.open(paths.data)
    yield ok(f"data/: {dataset.counts.get('ok', 0):,} images, digest {dataset.digest[:12]}")


def check_weights(paths: Paths) -> Points:
    """Check Inception's weights, without which there is no FID."""
    file = weights_file(paths)
    if not file.is_file():
        yield note(missing_message(paths))
        return
    expected = load_params(paths.root / "params.yaml").features.inception_sha256
    check_sha256(file, f"weights/{file.name}", expected)
    yield ok(f"weights/{file.name}: FID can be computed")


def check_tracker(paths: Paths, *, repair: bool) -> Points:
    """Check the store. repair: first point a local store's runs to the artefacts beside it."""
    uri = tracking_uri(paths)
    place = place_of(uri)
    if not store_exists(uri):
        yield note(f"{place}: {NO_RUNS}")
        return
    try:
        repaired = repair_artifact_paths(paths) if repair else 0
        store = call_within(OPEN_S, lambda: MlflowStore(uri, paths.main_root))
        runs = search_trainings(store, "", MOST)
    except Exception as error:  # of SQLite, SQLAlchemy, MLflow, requests
        yield wrong(
            f"{place}: {without_secrets(short(error))}; records are kept for `gan sync`, which "
            "fills a new file where a damaged one was moved away"
        )
        return
    more = " or more" if len(runs) == MOST else ""
    yield ok(f"{place}: {count_noun(len(runs), 'training')}{more}")
    if repaired:
        yield ok(f"{place}: {repaired} artefact locations repaired")
    if store.misplaced:
        yield wrong(store.misplaced)
    active = {
        str(read_state(kept.folder).get("run_id"))
        for kept in find_kept_folders(paths)
        if is_locked(kept.folder)
    }
    running = [run for run in runs if run.status == "RUNNING"]
    idle = [run for run in running if run.run_id not in active]
    if idle:
        names = [f"{run.run_id[:SHORT]} ({one_line(run.name)})" for run in idle]
        yield note(
            f"marked RUNNING, but no process on this machine records it: {list_first(names)}; if "
            "it was killed, `gan train` with its settings resumes it"
        )
    if count := len(running) - len(idle):
        yield ok(f"{count_noun(count, 'run')} recorded by running processes")


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock in a folder; nothing is written, as filelock would."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False


def check_records(paths: Paths) -> Points:
    """Check for records that the store lacks; those of running processes are being sent."""
    waiting = [kept for kept in find_kept_folders(paths) if kept.unsent]
    waiting = [kept for kept in waiting if not is_locked(kept.folder)]
    if waiting:
        total, names = sum(kept.unsent for kept in waiting), [kept.name for kept in waiting]
        yield note(f"{total:,} unsent records, of {list_first(names)}; `gan sync` sends them")
    else:
        yield ok("no unsent records")


def check_trainings(paths: Paths) -> Points:
    """List running and unfinished trainings."""
    folders = sorted(path.parent for path in paths.progress.glob("*/identity.json"))
    open_ones = [folder for folder in folders if not (folder / "finished").is_file()]
    running = [folder.name for folder in open_ones if is_locked(folder)]
    stopped = [folder.name for folder in open_ones if folder.name not in running]
    if running:
        yield ok(f"running trainings: {list_first(running)}")
    if stopped:
        yield note(
            f"unfinished trainings: {list_first(stopped)}; `gan train` with their settings "
            "resumes them, `gan clean` lists and removes them"
        )
    if not open_ones:
        yield ok("no unfinished trainings")
