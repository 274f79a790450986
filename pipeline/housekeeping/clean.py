"""`gan clean`: trainings to go on from, records not sent, kept features; listed or removed."""

import fcntl
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gan.errors import GanError
from pipeline.features.stored import Entry, entries
from pipeline.paths import Paths
from pipeline.tracking.spool.left_behind import left_behind
from pipeline.tracking.spool.lock import BusyError, SpoolLock
from pipeline.tracking.spool.records import unsent_in
from pipeline.training.progress_folder import ProgressFolder


def run(paths: Paths, *, remove: bool, unsent: bool = False) -> None:
    """List trainings to go on from, records and features; with `remove` delete those not in use.

    unsent: also those that hold records which the tracker does not have.
    """
    folders = _trainings(paths.progress, remove=remove, unsent=unsent)
    records = _records(paths, remove=remove, unsent=unsent)
    kept = _features(paths.features, remove=remove)
    if not folders:
        sys.stdout.write("no trainings to go on from\n")
    if (folders or records or kept) and not remove:
        sys.stdout.write("gan clean --remove deletes the idle ones\n")


def _trainings(progress: Path, *, remove: bool, unsent: bool) -> int:
    if remove:
        for half in progress.glob(".*.removed"):  # of a clean that was killed
            shutil.rmtree(half, ignore_errors=True)
    folders = sorted(path.parent for path in progress.glob("[!.]*/identity.json"))
    for folder in folders:
        with _held(folder) as ours:
            missed = sum(unsent_in(spool) for spool in (folder / "tracking").glob("*/"))
            described = _describe(folder) + _records_of(missed)
            removed = remove and ours and (unsent or not missed)
            if removed:
                _remove(folder)
        state = _state(busy=not ours, remove=removed, unsent=remove and bool(missed))
        sys.stdout.write(f"{folder.name}  {described}  {state}\n")
    return len(folders)


def _records(paths: Paths, *, remove: bool, unsent: bool) -> int:
    """What stages left in logs/spool/."""
    left = [each for each in left_behind(paths) if each.training is None]
    for each in left:
        with ExitStack() as held:
            lock = SpoolLock(each.folder)
            held.callback(lock.release)
            ours, missed = _taken(lock), unsent_in(each.folder)
            removed = remove and ours and (unsent or not missed)
            if removed:
                lock.remove_folder()
        state = _state(busy=not ours, remove=removed, unsent=remove and bool(missed))
        sys.stdout.write(f"{each.folder.name}  {each.name}{_records_of(missed)}  {state}\n")
    return len(left)


def _taken(lock: SpoolLock) -> bool:
    try:
        lock.take()
    except (BusyError, OSError):
        return False
    return True


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a training's lock and those of its records; False if a process has one of them."""
    with ExitStack() as held:
        lock = held.enter_context((folder / "lock").open("a+"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        spools = [SpoolLock(spool) for spool in (folder / "tracking").glob("*/")]
        for spool in spools:
            held.callback(spool.release)
        yield all([_taken(spool) for spool in spools])


def _remove(folder: Path) -> None:
    """Out of the way first: a training that begins meanwhile makes itself a folder of its own."""
    aside = folder.with_name(f".{folder.name}.removed")
    try:
        folder.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise GanError(f"{folder}: cannot be removed: {error.strerror}") from None


def _records_of(unsent: int) -> str:
    return f", {unsent} records unsent" if unsent else ""


def _features(folder: Path, *, remove: bool) -> int:
    """Features that a process has opened stay readable to it when they are removed."""
    kept = entries(folder)
    total = 0
    for entry in kept:
        described, size = entry.described(), entry.size
        busy = not _removed(entry) if remove else entry.in_use()
        total += size
        sys.stdout.write(
            f"{entry.stem[:16]}  features: {described}, {size >> 20} MiB  "
            f"{_state(busy=busy, remove=remove)}\n"
        )
    if kept:
        sys.stdout.write(f"features of {len(kept)} sets of images, {total >> 20} MiB\n")
    return len(kept)


def _removed(entry: Entry) -> bool:
    try:
        return entry.remove()
    except OSError as error:
        where = entry.folder / entry.stem
        raise GanError(f"{where}: cannot be removed: {error.strerror}") from None


def _state(*, busy: bool, remove: bool, unsent: bool = False) -> str:
    if busy:
        return "in use"
    if remove:
        return "removed"
    return "kept: `gan sync` first, or --unsent drops them" if unsent else "idle"


def _describe(folder: Path) -> str:
    identity = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
    states = sorted(folder.glob("state-*.pt"))
    seen = ProgressFolder.images_seen(states[-1]) if states else 0
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    done = "finished" if (folder / "finished").is_file() else "unfinished"
    train = identity["train"]
    return f"{train['objective']} s{train['seed']}  {seen:,} images, {done}, {size >> 20} MiB"
