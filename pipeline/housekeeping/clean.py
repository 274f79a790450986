"""`gan clean`: progress folders, unsent records and kept features, listed or removed."""

import json
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.console import tell
from pipeline.features.store import list_entries
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
        for partial in paths.progress.glob(".*.removed"):  # of a `gan clean` that was killed
            shutil.rmtree(partial, ignore_errors=True)
    trainings = sorted(path.parent for path in paths.progress.glob("[!.]*/identity.json"))
    for folder in trainings:
        _clean(folder, _describe(folder), remove=remove)
    records = find_kept_folders(paths)
    for kept in records:
        count = f", {kept.unsent} records unsent" if kept.unsent else ""
        unneeded = unsent or not kept.unsent
        _clean(kept.folder, f"{kept.name}{count}", remove=remove, unneeded=unneeded)
    features = _clean_features(paths.features, remove=remove)
    if not trainings:
        tell("no trainings to resume")
    if (trainings or records or features) and not remove:
        tell("`gan clean --remove` deletes the idle ones")


def _clean(folder: Path, description: str, *, remove: bool, unneeded: bool = True) -> None:
    """List a folder of a training or run; with `remove` delete it if it is idle and unneeded."""
    try:
        lock = FileLock(folder / "lock", timeout=0).acquire()
    except (Timeout, OSError):
        tell(f"{folder.name}  {description}  in use")
        return
    with lock:
        state = "idle"
        if remove and unneeded:
            # renamed first: a training that starts meanwhile creates its folder anew
            aside = folder.rename(folder.with_name(f".{folder.name}.removed"))
            shutil.rmtree(aside)
            state = "removed"
        elif remove:
            state = "kept: `gan sync` sends the records, --unsent drops them"
    tell(f"{folder.name}  {description}  {state}")


def _clean_features(folder: Path, *, remove: bool) -> int:
    """List or remove features; a process that has them open can still read them."""
    kept = list_entries(folder)
    total = 0
    for entry in kept:
        description, size = entry.describe(), entry.size
        state = "removed" if remove else "idle"
        if entry.is_locked() or (remove and not entry.remove()):
            state = "in use"
        total += size
        tell(f"{entry.stem[:16]}  features: {description}, {size >> 20} MiB  {state}")
    if kept:
        tell(f"features of {len(kept)} sets of images, {total >> 20} MiB")
    return len(kept)


def _describe(folder: Path) -> str:
    """Objective, seed and state of a training."""
    identity = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
    states = sorted(folder.glob("state-*.pt"))
    seen = ProgressFolder.images_seen(states[-1]) if states else 0
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    done = "finished" if (folder / "finished").is_file() else "unfinished"
    train = identity["train"]
    return f"{train['objective']} s{train['seed']}  {seen:,} images, {done}, {size >> 20} MiB"
