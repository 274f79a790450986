"""The checkpoint of a run: a file in models/, else a copy from MLflow."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gan.checkpoints import Origin, load_generator
from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.paths import Paths
from pipeline.runs.find import HEX, Runs, Training, UnknownRunError

FOLDERS = ("best", "checkpoints")  # of a run's artefacts


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint of a run. run_id: None if the run is not in the store.

    last_step: the greatest step of the run's metrics. best: whether it is the snapshot that the
    evaluation chose; True also if the run was not evaluated.
    """

    file: Path
    run_id: str | None
    last_step: int | None
    best: bool


@contextmanager
def checkpoint_of(name: str, paths: Paths) -> Iterator[RunCheckpoint]:
    """The checkpoint of a run, the best one if it is known; a copy is removed after the block.

    name: as `Runs` takes it. The first of these that exists: the chosen snapshot in models/, the
    run's artefacts (only if a snapshot was chosen), best.pt, final.pt and other snapshots of the
    run in models/, the run's artefacts. GanError if the run is unknown or has no checkpoint.
    """
    runs = Runs(paths)
    try:
        training = runs.find_training(name)
    except UnknownRunError:  # models/ may hold a training that the store does not
        digits = name.lower()
        local = _find_local(digits, paths.models) if HEX.fullmatch(digits) else []
        if not local:
            raise
        if len({origin.run_key for _, origin in local}) > 1:
            raise GanError(
                f"{name}: several run keys in models/ begin with it; give more digits"
            ) from None
        yield RunCheckpoint(local[0][0], None, None, best=True)
        return
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = _choose(training, runs, paths, Path(folder))
        seen = load_generator(file)[1].images_seen
        last = runs.last_step(training.run_id) if training.run_id else None
        yield RunCheckpoint(file, training.run_id, last, training.best in (None, seen))


def _choose(training: Training, runs: Runs, paths: Paths, folder: Path) -> Path:
    local = _find_local(training.run_key, paths.models)
    for file, origin in local:
        if origin.images_seen == training.best:
            return file
    if local and (training.best is None or _find_artifact(training, runs) is None):
        return local[0][0]
    return _fetch(training, runs, folder)


def _find_local(run_key: str, models: Path) -> list[tuple[Path, Origin]]:
    """Checkpoints in models/ whose run key begins with `run_key`."""
    snapshots = sorted((models / "snapshots").glob("*.pt"), reverse=True)
    found = []
    for file in (models / "best.pt", models / "final.pt", *snapshots):
        if file.is_file() and (origin := _origin(file)) and origin.run_key.startswith(run_key):
            found.append((file, origin))
    return found


def _origin(file: Path) -> Origin | None:
    try:
        return load_generator(file)[1]
    except GanError as error:
        warn(f"skipped: {error}")
        return None


def _fetch(training: Training, runs: Runs, folder: Path) -> Path:
    artifact = _find_artifact(training, runs)
    if training.run_id is None or artifact is None:
        raise GanError(
            f"{training.label}: no checkpoint of it in models/"
            + (" or among its artefacts" if training.run_id else "")
            + "; `gan evaluate --ckpt FILE` takes one from anywhere"
        )
    name, size = artifact
    say(f"{training.label}: fetching {name} ({size / 2**20:.1f} MiB)")
    file = runs.download(training.run_id, name, folder)
    run_key = load_generator(file)[1].run_key
    if run_key != training.run_key:
        raise GanError(
            f"{training.label}: its artefact {name} is of another training (run key "
            f"{run_key[:12]}); `gan evaluate --ckpt FILE` takes another checkpoint"
        )
    return file


def _find_artifact(training: Training, runs: Runs) -> tuple[str, int] | None:
    """Name and size of the chosen snapshot, else of the one that has seen most images."""
    if training.run_id is None:
        return None
    for folder in FOLDERS:
        files = runs.list_files(training.run_id, folder)
        by_images = {
            _images_seen(name): (name, size)
            for name, size in files.items()
            if _images_seen(name) >= 0
        }
        if by_images:
            return by_images.get(training.best or -1, by_images[max(by_images)])
    return None


def _images_seen(name: str) -> int:
    """Images seen by a snapshot, from its name; -1 if it is none."""
    path = PurePosixPath(name)
    return int(path.stem) if path.suffix == ".pt" and path.stem.isdecimal() else -1
