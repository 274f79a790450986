"""Progress folder of a training: outside the outs; a killed training resumes from it.

DVC removes a stage's outs before it runs, so unfinished work can't lie there. The folder's name
is the resume key: everything that decides the result, except how long the training is.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from gan.checkpoints import DamagedError, load_checkpoint
from gan.errors import GanError
from pipeline.console import say


def digest_of(values: dict[str, Any]) -> str:
    """sha256 of plain values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


@dataclass(frozen=True)
class ProgressFolder:
    """The progress folder of one training."""

    path: Path
    identity: dict[str, Any]

    @property
    def states(self) -> list[Path]:
        """Saved states, oldest first."""
        return sorted(self.path.glob("state-*.pt"))

    @staticmethod
    def images_seen(state: Path) -> int:
        """Images seen by a saved state."""
        return int(state.stem.removeprefix("state-"))

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def grids(self) -> Path:
        return self.path / "grids"

    @property
    def losses(self) -> Path:
        return self.path / "losses.tsv"

    def tracking(self, run_key: str) -> Path:
        """Folder for the tracker's own files of one run."""
        return self.path / "tracking" / run_key[:16]

    @property
    def _finished(self) -> Path:
        return self.path / "finished"

    @property
    def finished_images(self) -> int:
        """Length of the training that ended here, 0 if none has."""
        return int(self._finished.read_text()) if self._finished.is_file() else 0

    def mark_finished(self, images: int) -> None:
        write_atomically(self._finished, f"{images}\n".encode())

    def mark_running(self) -> None:
        self._finished.unlink(missing_ok=True)

    def state_file(self, images_seen: int) -> Path:
        return self.path / f"state-{images_seen:012d}.pt"

    def load_newest(self, warn: Callable[[str], None]) -> dict[str, Any] | None:
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

    def clear(self, *kept: str) -> None:
        """Forget everything but the lock, the identity and what is to be kept."""
        for path in self.path.iterdir():
            if path.name in ("lock", "identity.json", *kept):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def take_progress_folder(
    progress: Path, identity: dict[str, Any], *, length: int, end: int, must_resume: bool
) -> Iterator[ProgressFolder]:
    """Open the progress folder of `identity` for a training, and settle whether it is resumed.

    length: images that the training is to see; end: images seen after its last step. A finished
    training that is asked for again starts afresh. GanError if another process trains in it, if
    it is beyond `end` already, or with must_resume if there is nothing to resume.
    """
    _report_nearest(progress, identity, must_resume=must_resume)
    with open_progress_folder(progress, identity) as folder:
        if folder.finished_images >= length:
            if must_resume:
                raise GanError("--resume: this training is finished; raise train.images to extend")
            folder.clear()
        reached = max(map(folder.images_seen, folder.states), default=0)
        if reached > end:
            raise GanError(
                f"train.images = {length}: an unfinished training is at {reached:,} images "
                f"already ({folder.path}); raise it, or remove that one: gan clean --remove"
            )
        folder.mark_running()
        yield folder


def _report_nearest(progress: Path, identity: dict[str, Any], *, must_resume: bool) -> None:
    """Say why a training starts afresh though a similar one exists; with must_resume refuse."""
    if any((progress / digest_of(identity)[:16]).glob("state-*.pt")):
        return
    found = nearest(progress, identity, any_data=must_resume)
    listed = "; ".join(found[:6]) + (" ..." if len(found) > 6 else "")
    if must_resume:
        why = f"the unfinished training differs: {listed}" if listed else "there is none"
        raise GanError(f"--resume: {why}")
    if listed:
        say(f"starting afresh: the nearest earlier training differs in {listed}")


@contextmanager
def open_progress_folder(progress: Path, identity: dict[str, Any]) -> Iterator[ProgressFolder]:
    """Open or make the progress folder of `identity`, under an exclusive lock.

    GanError if another process trains in it: two would overwrite each other's files. (A killed
    `dvc` can leave its training process alive.)
    """
    folder = progress / digest_of(identity)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        _lock(lock, folder)
        if not os.fstat(lock.fileno()).st_nlink:
            raise GanError(f"{folder}: was removed by `gan clean` just now; start again")
        text = json.dumps(identity, sort_keys=True, indent=1) + "\n"
        write_atomically(folder / "identity.json", text.encode())
        yield ProgressFolder(folder, identity)


def _lock(lock: Any, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
        raise GanError(
            f"this training is running already, process {pid} ({folder}); wait for it or end it"
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """List differences between nested plain values: "key: there -> here"."""
    there, here = flatten(there), flatten(here)
    return [
        f"{key}: {_shorten(there.get(key))} -> {_shorten(here.get(key))}"
        for key in sorted(set(here) | set(there))
        if there.get(key) != here.get(key)
    ]


def _shorten(value: Any) -> Any:
    """Cut a sha256 to digits that tell it from others."""
    return value[:12] if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else value


def nearest(progress: Path, identity: dict[str, Any], *, any_data: bool = False) -> list[str]:
    """List how the most similar other training differs: "key: there -> here".

    any_data: also one of other data.
    """
    best: list[str] = []
    for path in sorted(progress.glob("*/identity.json")):
        there = json.loads(path.read_text(encoding="utf-8"))
        if there == identity:
            continue
        if not any_data and there.get("cache_digest") != identity["cache_digest"]:
            continue
        if not any(path.parent.glob("state-*.pt")):
            continue
        found = differences(there, identity)
        if not best or len(found) < len(best):
            best = found
    return best
