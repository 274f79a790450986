"""Unfinished training: a folder outside the outs, from which a killed run goes on.

DVC removes a stage's outs before it runs, so what is half done can't lie there. The folder's name
is the resume key: everything that decides the result, except how long the training is.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from gan.checkpoints import DamagedError, load_checkpoint
from gan.errors import GanError


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
class Unfinished:
    """The progress folder of one training."""

    folder: Path
    identity: dict[str, Any]

    @property
    def states(self) -> list[Path]:
        """Saved states, oldest first."""
        return sorted(self.folder.glob("state-*.pt"))

    @staticmethod
    def seen(state: Path) -> int:
        """Images seen by a saved state."""
        return int(state.stem.removeprefix("state-"))

    @property
    def snapshots(self) -> Path:
        return self.folder / "snapshots"

    @property
    def grids(self) -> Path:
        return self.folder / "grids"

    @property
    def losses(self) -> Path:
        return self.folder / "losses.tsv"

    def tracking(self, run_key: str) -> Path:
        """The tracker's spool of one run."""
        return self.folder / "tracking" / run_key[:16]

    @property
    def _finished(self) -> Path:
        return self.folder / "finished"

    def finished_images(self) -> int:
        """Length of the training that ended here, 0 if none has."""
        return int(self._finished.read_text()) if self._finished.is_file() else 0

    def mark_finished(self, images: int) -> None:
        write_atomically(self._finished, f"{images}\n".encode())

    def mark_running(self) -> None:
        self._finished.unlink(missing_ok=True)

    def state_file(self, images_seen: int) -> Path:
        return self.folder / f"state-{images_seen:012d}.pt"

    def load_newest(self, warn: Callable[[str], None]) -> dict[str, Any] | None:
        """Newest whole state, None if there is none; GanError if one can't be read just now.

        Damaged ones are put aside, and `warn` is told; what a kill left half written is removed.
        """
        for partial in self.folder.rglob(".*.partial"):
            partial.unlink()
        for path in reversed(self.states):
            try:
                return load_checkpoint(path)
            except DamagedError as error:
                aside = path.with_name(f"{path.name}.damaged")
                warn(f"{error}; it is put aside as {aside.name}, the one before is used")
                path.replace(aside)
        return None

    def drop_old_states(self, keep: int) -> None:
        """Remove all but the newest `keep`."""
        for path in self.states[:-keep]:
            path.unlink()

    def clear(self, *kept: str) -> None:
        """Forget everything but the lock, the identity and what is to be kept."""
        for path in self.folder.iterdir():
            if path.name in ("lock", "identity.json", *kept):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def unfinished(progress: Path, identity: dict[str, Any]) -> Iterator[Unfinished]:
    """Open or make the progress folder of `identity` for this process alone.

    GanError if another process trains in it: two on one folder would overwrite each other. (A
    killed `dvc` can leave its training process alive.)
    """
    folder = progress / digest_of(identity)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        _lock(lock, folder)
        if not os.fstat(lock.fileno()).st_nlink:
            raise GanError(f"{folder}: was removed by `gan clean` just now; start again")
        text = json.dumps(identity, sort_keys=True, indent=1) + "\n"
        write_atomically(folder / "identity.json", text.encode())
        yield Unfinished(folder, identity)


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


def in_use(folder: Path) -> bool:
    """Whether a process trains in a progress folder."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What differs between nested plain values: "key: there -> here"."""
    there, here = flatten(there), flatten(here)
    return [
        f"{key}: {there.get(key)} -> {here.get(key)}"
        for key in sorted(set(here) | set(there))
        if there.get(key) != here.get(key)
    ]


def nearest(progress: Path, identity: dict[str, Any], *, any_data: bool = False) -> list[str]:
    """How the most similar other training differs: "key: there -> here".

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
