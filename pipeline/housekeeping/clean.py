"""`gan clean`: progress folders, unsent records and kept features, listed or removed."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gan.errors import GanError
from pipeline.features.store import Entry, list_entries
from pipeline.paths import Paths
from pipeline.tracking.run_folder.earlier_form import convert_all
from pipeline.tracking.run_folder.kept_folders import find_kept_folders
from pipeline.training.progress_folder import ProgressFolder


def run(paths: Paths, *, remove: bool, unsent: bool = False) -> None:
    """List trainings, unsent records and features; with `remove` delete those not in use.

    unsent: also those with records that the tracker does not have.
    """
    if remove:
        convert_all(paths)  # or they would be removed with their training
    trainings = _clean_trainings(paths.progress, remove=remove)
    records = _clean_records(paths, remove=remove, unsent=unsent)
    features = _clean_features(paths.features, remove=remove)
    if not trainings:
        sys.stdout.write("no trainings to resume\n")
    if (trainings or records or features) and not remove:
        sys.stdout.write("`gan clean --remove` deletes the idle ones\n")


def _clean_trainings(progress: Path, *, remove: bool) -> int:
    if remove:
        for partial in progress.glob(".*.removed"):  # of a `gan clean` that was killed
            shutil.rmtree(partial, ignore_errors=True)
    folders = sorted(path.parent for path in progress.glob("[!.]*/identity.json"))
    for folder in folders:
        with _lock(folder) as locked:
            description = _describe(folder)
            removed = remove and locked
            if removed:
                _remove(folder)
        state = _state(busy=not locked, removed=removed)
        sys.stdout.write(f"{folder.name}  {description}  {state}\n")
    return len(folders)


def _clean_records(paths: Paths, *, remove: bool, unsent: bool) -> int:
    """List or remove run folders, with their records."""
    folders = find_kept_folders(paths)
    for each in folders:
        with _lock(each.folder) as locked:
            removed = remove and locked and (unsent or not each.unsent)
            if removed:
                _remove(each.folder)
        state = _state(busy=not locked, removed=removed, unsent=remove and bool(each.unsent))
        count = f", {each.unsent} records unsent" if each.unsent else ""
        sys.stdout.write(f"{each.folder.name}  {each.name}{count}  {state}\n")
    return len(folders)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of a training or run folder; False if a process has it."""
    try:
        lock = FileLock(folder / "lock", timeout=0).acquire()
    except (Timeout, OSError):
        yield False
        return
    with lock:
        yield True


def _remove(folder: Path) -> None:
    """Rename it first: a training that starts meanwhile creates its folder anew."""
    aside = folder.with_name(f".{folder.name}.removed")
    try:
        folder.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise _removal_error(folder, error) from None


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
