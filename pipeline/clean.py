"""`gan clean`: progress folders of trainings and kept features, listed or removed."""

import json
import shutil
import sys
from pathlib import Path

from gan.errors import GanError
from pipeline.features.entry import Entry, entries
from pipeline.paths import Paths
from pipeline.unfinished import Unfinished, in_use


def run(paths: Paths, *, remove: bool) -> None:
    """List trainings to go on from and kept features; with `remove` delete those not in use."""
    folders = _trainings(paths.progress, remove=remove)
    kept = _features(paths.features, remove=remove)
    if not folders:
        sys.stdout.write("no trainings to go on from\n")
    if (folders or kept) and not remove:
        sys.stdout.write("gan clean --remove deletes the idle ones\n")


def _trainings(progress: Path, *, remove: bool) -> int:
    folders = sorted(path.parent for path in progress.glob("*/identity.json"))
    for folder in folders:
        busy, described = in_use(folder), _describe(folder)
        if remove and not busy:
            shutil.rmtree(folder)
        sys.stdout.write(f"{folder.name}  {described}  {_state(busy=busy, remove=remove)}\n")
    return len(folders)


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


def _state(*, busy: bool, remove: bool) -> str:
    return "in use" if busy else "removed" if remove else "idle"


def _describe(folder: Path) -> str:
    identity = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
    states = sorted(folder.glob("state-*.pt"))
    seen = Unfinished.seen(states[-1]) if states else 0
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    done = "finished" if (folder / "finished").is_file() else "unfinished"
    train = identity["train"]
    return f"{train['objective']} s{train['seed']}  {seen:,} images, {done}, {size >> 20} MiB"
