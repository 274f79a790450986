"""`gan clean`: progress folders, unsent records and kept features, listed or removed."""

import fcntl
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gan.errors import GanError
from pipeline.features.store import Entry, list_entries
from pipeline.paths import Paths
from pipeline.tracking.run_folder.folder import count_unsent
from pipeline.tracking.run_folder.kept_folders import find_kept_folders
from pipeline.tracking.run_folder.lock import BusyError, FolderLock
from pipeline.training.progress_folder import ProgressFolder


def run(paths: Paths, *, remove: bool, unsent: bool = False) -> None:
    """List trainings, unsent records and features; with `remove` delete those not in use.

    unsent: also those with records that the tracker does not have.
    """
    trainings = _clean_trainings(paths.progress, remove=remove, unsent=unsent)
    records = _clean_records(paths, remove=remove, unsent=unsent)
    features = _clean_features(paths.features, remove=remove)
    if not trainings:
        sys.stdout.write("no trainings to resume\n")
    if (trainings or records or features) and not remove:
        sys.stdout.write("`gan clean --remove` deletes the idle ones\n")


def _clean_trainings(progress: Path, *, remove: bool, unsent: bool) -> int:
    if remove:
        for partial in progress.glob(".*.removed"):  # of a `gan clean` that was killed
            shutil.rmtree(partial, ignore_errors=True)
    folders = sorted(path.parent for path in progress.glob("[!.]*/identity.json"))
    for folder in folders:
        with _lock(folder) as locked:
            count = sum(count_unsent(records) for records in (folder / "tracking").glob("*/"))
            description = _describe(folder) + _format_unsent(count)
            removed = remove and locked and (unsent or not count)
            if removed:
                _remove(folder)
        state = _state(busy=not locked, removed=removed, unsent=remove and bool(count))
        sys.stdout.write(f"{folder.name}  {description}  {state}\n")
    return len(folders)


def _clean_records(paths: Paths, *, remove: bool, unsent: bool) -> int:
    """List or remove records of the stages other than train."""
    folders = [each for each in find_kept_folders(paths) if each.training is None]
    for each in folders:
        with ExitStack() as locks:
            lock = FolderLock(each.folder)
            locks.callback(lock.release)
            locked, count = _try_lock(lock), count_unsent(each.folder)
            removed = remove and locked and (unsent or not count)
            if removed:
                lock.remove_folder()
        state = _state(busy=not locked, removed=removed, unsent=remove and bool(count))
        sys.stdout.write(f"{each.folder.name}  {each.name}{_format_unsent(count)}  {state}\n")
    return len(folders)


def _try_lock(lock: FolderLock) -> bool:
    try:
        lock.take()
    except (BusyError, OSError):
        return False
    return True


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold a training's lock and those of its records; False if a process has one of them."""
    with ExitStack() as locks:
        lock = locks.enter_context((folder / "lock").open("a+"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        others = [FolderLock(records) for records in (folder / "tracking").glob("*/")]
        for other in others:
            locks.callback(other.release)
        yield all([_try_lock(other) for other in others])


def _remove(folder: Path) -> None:
    """Rename it first: a training that starts meanwhile creates its folder anew."""
    aside = folder.with_name(f".{folder.name}.removed")
    try:
        folder.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise _removal_error(folder, error) from None


def _format_unsent(unsent: int) -> str:
    return f", {unsent} records unsent" if unsent else ""


def _clean_features(folder: Path, *, remove: bool) -> int:
    """List or remove features; a process that has them open can still read them."""
    kept = list_entries(folder)
    total = 0
    for entry in kept:
        description, size = entry.describe(), entry.size
        busy = not _remove_features(entry) if remove else entry.is_locked()
        total += size
        sys.stdout.write(
            f"{entry.stem[:16]}  features: {description}, {size >> 20} MiB  "
            f"{_state(busy=busy, removed=remove)}\n"
        )
    if kept:
        sys.stdout.write(f"features of {len(kept)} sets of images, {total >> 20} MiB\n")
    return len(kept)


def _remove_features(entry: Entry) -> bool:
    try:
        return entry.remove()
    except OSError as error:
        raise _removal_error(entry.folder / entry.stem, error) from None


def _removal_error(path: Path, error: OSError) -> GanError:
    return GanError(f"{path}: cannot be removed: {error.strerror}; change its owner or mode")


def _state(*, busy: bool, removed: bool, unsent: bool = False) -> str:
    if busy:
        return "in use"
    if removed:
        return "removed"
    return "kept: `gan sync` sends the records, --unsent drops them" if unsent else "idle"


def _describe(folder: Path) -> str:
    identity = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
    states = sorted(folder.glob("state-*.pt"))
    seen = ProgressFolder.images_seen(states[-1]) if states else 0
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    done = "finished" if (folder / "finished").is_file() else "unfinished"
    train = identity["train"]
    return f"{train['objective']} s{train['seed']}  {seen:,} images, {done}, {size >> 20} MiB"
