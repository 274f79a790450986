"""The checkpoint of a run: a file in models/, else a copy from MLflow."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gan.checkpoints import Origin, load_generator
from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.paths import Paths
from pipeline.runs.find import HEX, Runs, Training, UnknownRunError

FOLDERS = ("best", "checkpoints")  # of a run's artefacts
SNAPSHOT = re.compile(r"(^|/)\d+\.pt$")


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

    name: as `Runs` takes it, or digits of a run key in models/. The first of these that exists:
    the chosen snapshot in models/, the run's artefacts (only if a snapshot was chosen), best.pt,
    final.pt and other snapshots of the run in models/, the run's artefacts. GanError if the run is
    unknown or has no checkpoint.
    """
    runs = Runs(paths)
    try:
        training = runs.find_training(name)
    except UnknownRunError:  # models/ may hold a training that the store does not
        digits = name.lower()
        local = _find_local(digits, paths.models) if HEX.fullmatch(digits) else []
        keys = {origin.run_key for _, origin in local}
        if not keys:
            raise
        if len(keys) > 1:
            raise GanError(
                f"{name}: several run keys in models/ begin with it; give more digits"
            ) from None
        training = Training(name, keys.pop())
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = _choose(training, runs, paths, Path(folder))
        origin = load_generator(file)[1]
        if origin.run_key != training.run_key:
            raise GanError(
                f"{training.label}: its artefact {file.name} is of another training (run key "
                f"{origin.run_key[:12]}); `gan evaluate --ckpt FILE` takes another checkpoint"
            )
        best = training.best in (None, origin.images_seen)
        yield RunCheckpoint(file, training.run_id, training.last_step, best)


def _choose(training: Training, runs: Runs, paths: Paths, folder: Path) -> Path:
    local = _find_local(training.run_key, paths.models)
    for file, origin in local:
        if origin.images_seen == training.best:
            return file
    artifact = None if local and training.best is None else _find_artifact(training, runs)
    if training.run_id and artifact:
        name, size = artifact
        say(f"{training.label}: fetching {name} ({size / 2**20:.1f} MiB)")
        return runs.download(training.run_id, name, folder)
    if local:
        return local[0][0]
    raise GanError(
        f"{training.label}: no checkpoint of it in models/"
        + (" or among its artefacts" if training.run_id else "")
        + "; `gan evaluate --ckpt FILE` takes one from anywhere"
    )


def _find_local(run_key: str, models: Path) -> list[tuple[Path, Origin]]:
    """Checkpoints in models/ whose run key begins with `run_key`."""
    snapshots = sorted((models / "snapshots").glob("*.pt"), reverse=True)
    found = []
    for file in (models / "best.pt", models / "final.pt", *snapshots):
        try:
            origin = load_generator(file)[1] if file.is_file() else None
        except GanError as error:
            warn(f"skipped: {error}")
            continue
        if origin and origin.run_key.startswith(run_key):
            found.append((file, origin))
    return found


def _find_artifact(training: Training, runs: Runs) -> tuple[str, int] | None:
    """Name and size of the chosen snapshot, else of the one that has seen most images."""
    for folder in FOLDERS if training.run_id else ():
        files = runs.list_files(str(training.run_id), folder)
        names = {int(Path(name).stem): name for name in files if SNAPSHOT.search(name)}
        if names:
            name = names.get(training.best or -1, names[max(names)])
            return name, files[name]
    return None
