"""A run's checkpoint: the file that lies here, else a copy from the tracker."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gan.checkpoints import load_generator
from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs import HEX, Runs, Training
from pipeline.words import say, warn

FOLDERS = ("best", "checkpoints")  # of a row's artefacts


@contextmanager
def checkpoint_of(given: str, paths: Paths) -> Iterator[Path]:
    """The checkpoint of a run, the best one if it is known; a copy is gone after the block.

    given: as `Runs` takes it. In models/ best.pt comes first, then final.pt, then the snapshots,
    if it is that run's; then the row's artefacts. GanError if the run is unknown or has none.
    """
    runs = Runs(paths)
    try:
        training = runs.training(given)
    except GanError:  # models/ may hold what the tracker doesn't know
        file = _local(given.lower(), paths.models) if HEX.fullmatch(given.lower()) else None
        if file is None:
            raise
        yield file
        return
    if file := _local(training.run_key, paths.models):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        yield _fetched(training, runs, Path(folder))


def _local(run_key: str, models: Path) -> Path | None:
    """The first file whose run key begins so."""
    snapshots = sorted((models / "snapshots").glob("*.pt"), reverse=True)
    for file in (models / "best.pt", models / "final.pt", *snapshots):
        if file.is_file() and _is_of(file, run_key):
            return file
    return None


def _is_of(file: Path, run_key: str) -> bool:
    try:
        return load_generator(file)[1].run_key.startswith(run_key)
    except GanError as error:
        warn(f"left out: {error}")
        return False


def _fetched(training: Training, runs: Runs, folder: Path) -> Path:
    source = _stored(training, runs)
    if training.run_id is None or source is None:
        raise GanError(
            f"{training.label}: no checkpoint of it in models/"
            + (" or among its artefacts" if training.run_id else "")
            + "; `gan evaluate --ckpt FILE` takes one from anywhere"
        )
    name, size = source
    say(f"{training.label}: fetching {name} ({size / 2**20:.1f} MiB)")
    file = runs.download(training.run_id, name, folder)
    found = load_generator(file)[1].run_key
    if found != training.run_key:
        raise GanError(
            f"{training.label}: its artefact {name} is of another training ({found[:12]})"
        )
    return file


def _stored(training: Training, runs: Runs) -> tuple[str, int] | None:
    """Name and bytes of the chosen snapshot, else of the one that has seen most images."""
    if training.run_id is None:
        return None
    for folder in FOLDERS:
        files = runs.files(training.run_id, folder)
        found = {_seen(name): (name, size) for name, size in files.items() if _seen(name) >= 0}
        if found:
            return found.get(training.best or -1, found[max(found)])
    return None


def _seen(name: str) -> int:
    """Images seen by the checkpoint of this name, -1 if it isn't one."""
    path = PurePosixPath(name)
    return int(path.stem) if path.suffix == ".pt" and path.stem.isdecimal() else -1
