"""Progress folder of a training: outside the outs; a killed training resumes from it.

DVC removes a stage's outs before it runs, so unfinished work can't lie there. The folder's name
is the resume key: everything that decides a step. The training's length does only where a learning
rate falls until its end.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from gan.atomic import write_atomically
from gan.checkpoints import DamagedError, load_checkpoint
from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.training.identity import differences, resume_key

if TYPE_CHECKING:
    from pipeline.training.plan import Plan


class ProgressFolder:
    """The progress folder of one training.

    finished: file with the length of the training that ended here.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, identity
        self.snapshots, self.grids = path / "snapshots", path / "grids"
        self.losses, self.finished = path / "losses.tsv", path / "finished"

    @property
    def states(self) -> list[Path]:
        """Saved states, oldest first."""
        return sorted(self.path.glob("state-*.pt"))

    @staticmethod
    def images_seen(state: Path) -> int:
        """Images seen by a saved state."""
        return int(state.stem.removeprefix("state-"))

    def load_newest(self) -> dict[str, Any] | None:
        """Newest whole state, None if there is none; GanError if one can't be read just now.

        Damaged ones are renamed, with a warning; partial files of a kill are removed.
        """
        for partial in self.path.rglob(".*.partial"):
            partial.unlink()
        for path in reversed(self.states):
            try:
                return load_checkpoint(path)
            except DamagedError as error:
                aside = path.with_name(f"{path.name}.damaged")
                warn(f"{error}; renamed to {aside.name}; the checkpoint before is used")
                path.replace(aside)
        return None

    def drop_old_states(self, keep: int) -> None:
        """Remove all but the newest `keep`."""
        for path in self.states[:-keep]:
            path.unlink()

    def clear(self) -> None:
        """Forget everything but the lock and the identity."""
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in ("lock", "identity.json"):
                path.unlink()


@contextmanager
def take_progress_folder(
    progress: Path, plan: "Plan", *, must_resume: bool
) -> Iterator[ProgressFolder]:
    """Open the progress folder of a training, and settle whether it is resumed.

    A finished training that is asked for again starts afresh. GanError if another process trains
    in it, if it is beyond the end already, or with must_resume if there is nothing to resume.
    """
    length = plan.train.images
    _report_nearest(progress, plan.identity, must_resume=must_resume)
    with open_progress_folder(progress, plan.identity) as folder:
        if folder.finished.is_file() and int(folder.finished.read_text()) >= length:
            if must_resume:
                longer = (
                    "trains a longer one from its start"
                    if plan.train.recipe.decays
                    else "extends it"
                )
                raise GanError(
                    f"--resume: this training is finished; a larger train.images {longer}"
                )
            folder.clear()
        reached = max(map(folder.images_seen, folder.states), default=0)
        if reached > plan.end:
            raise GanError(
                f"train.images = {length}: an unfinished training is at {reached:,} images "
                f"already ({folder.path}); raise it, or remove that one: gan clean --remove"
            )
        folder.finished.unlink(missing_ok=True)
        yield folder


@contextmanager
def open_progress_folder(progress: Path, identity: dict[str, Any]) -> Iterator[ProgressFolder]:
    """Open or make the progress folder of `identity`, under an exclusive lock.

    GanError if another process trains in it: two would overwrite each other's files. (A killed
    `dvc` can leave its training process alive.)
    """
    folder = progress / resume_key(identity)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "lock"
    try:
        lock = FileLock(file, timeout=0).acquire()
    except Timeout:
        process = file.read_text().strip() or "unknown"
        raise GanError(
            f"this training is running already, process {process} ({folder}); wait for it or "
            "end it"
        ) from None
    with lock:
        file.write_text(f"{os.getpid()}\n")
        text = json.dumps(identity, sort_keys=True, indent=1) + "\n"
        write_atomically(folder / "identity.json", text)
        yield ProgressFolder(folder, identity)


def _report_nearest(progress: Path, identity: dict[str, Any], *, must_resume: bool) -> None:
    """Say how the most similar training of this data differs; with must_resume refuse, of any.

    Finished ones count too.
    """
    if any((progress / resume_key(identity)).glob("state-*.pt")):
        return
    found = []
    for path in sorted(progress.glob("*/identity.json")):
        there = json.loads(path.read_text(encoding="utf-8"))
        same_data = there.get("cache_digest") == identity["cache_digest"]
        if (
            there != identity
            and (must_resume or same_data)
            and any(path.parent.glob("state-*.pt"))
        ):
            found.append(differences(there, identity))
    nearest = min(found, key=len, default=[])
    listed = "; ".join(nearest[:6]) + (" ..." if len(nearest) > 6 else "")
    if any(each.startswith("train.images:") for each in nearest):
        listed += " (a learning rate falls until the end, so every length is another training)"
    nearest_one = f": the nearest earlier training differs in {listed}" if listed else ""
    if must_resume:
        raise GanError(f"--resume: no training with these settings to resume{nearest_one}")
    if nearest_one:
        say(f"starting afresh{nearest_one}")
