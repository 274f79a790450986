"""A run's checkpoint: the file that lies here, else a copy from the tracker."""

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

FOLDERS = ("best", "checkpoints")  # of a row's artefacts


@dataclass(frozen=True)
class Found:
    """A run's checkpoint. run_id: of its row, None if the tracker doesn't know it.

    last_step: the greatest of the row. best: whether it is the snapshot that the row calls the
    best one, or the row calls none so.
    """

    file: Path
    run_id: str | None
    last_step: int | None
    best: bool


@contextmanager
def checkpoint_of(given: str, paths: Paths) -> Iterator[Found]:
    """The checkpoint of a run, the best one if it is known; a copy is gone after the block.

    given: as `Runs` takes it. In models/ the snapshot that the row calls the best comes first,
    then best.pt, final.pt and the other snapshots, if they are that run's; before all but the
    first come the row's artefacts. GanError if the run is unknown or has none.
    """
    runs = Runs(paths)
    try:
        training = runs.training(given)
    except UnknownRunError:  # models/ may hold what the tracker doesn't know
        digits = given.lower()
        here = _local(digits, paths.models) if HEX.fullmatch(digits) else []
        if not here:
            raise
        if len({origin.run_key for _, origin in here}) > 1:
            raise GanError(
                f"{given}: several trainings in models/ begin so; give more digits"
            ) from None
        yield Found(here[0][0], None, None, best=True)
        return
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = _chosen(training, runs, paths, Path(folder))
        seen = load_generator(file)[1].images_seen
        last = runs.last_step(training.run_id) if training.run_id else None
        yield Found(file, training.run_id, last, training.best in (None, seen))


def _chosen(training: Training, runs: Runs, paths: Paths, folder: Path) -> Path:
    here = _local(training.run_key, paths.models)
    for file, origin in here:
        if origin.images_seen == training.best:
            return file
    if here and (training.best is None or _stored(training, runs) is None):
        return here[0][0]
    return _fetched(training, runs, folder)


def _local(run_key: str, models: Path) -> list[tuple[Path, Origin]]:
    """Files whose run key begins so, with what they say of themselves."""
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
        warn(f"left out: {error}")
        return None


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
