"""Checks of `gan doctor` on unsent records and unfinished trainings."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

from pipeline.console import list_first
from pipeline.housekeeping.doctor_point import Point, note, ok
from pipeline.paths import Paths
from pipeline.tracking.run_folder.folder import read_state
from pipeline.tracking.run_folder.kept_folders import find_kept_folders


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock in a folder; nothing is written."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def list_active(paths: Paths) -> set[str]:
    """Ids of the MLflow runs that processes on this machine record."""
    folders = (left.folder for left in find_kept_folders(paths) if is_locked(left.folder))
    return {str(read_state(folder).get("run_id")) for folder in folders}


def unsent(paths: Paths) -> Point:
    """Check for records that the store lacks; those of running processes are being sent."""
    idle = [left for left in find_kept_folders(paths) if not is_locked(left.folder)]
    waiting = [(left.name, left.unsent) for left in idle if left.unsent]
    if not waiting:
        return ok("no unsent records")
    total = sum(number for _, number in waiting)
    names = list_first([name for name, _ in waiting])
    return note(f"{total:,} unsent records, of {names}", "`gan sync` sends them")


def trainings(paths: Paths) -> Iterator[Point]:
    """List running and unfinished trainings."""
    folders = [path.parent for path in sorted(paths.progress.glob("*/identity.json"))]
    running = [folder for folder in folders if is_locked(folder)]
    stopped = [
        folder
        for folder in folders
        if folder not in running
        and not (folder / "finished").is_file()
        and any(folder.glob("state-*.pt"))
    ]
    if running:
        yield ok(f"running trainings: {list_first([folder.name for folder in running])}")
    if stopped:
        size = sum(path.stat().st_size for each in stopped for path in _files(each)) >> 20
        yield note(
            f"unfinished trainings: {list_first([each.name for each in stopped])}, {size:,} MiB",
            "`gan train` with their settings resumes them, `gan clean` lists and removes them",
        )
    if not running and not stopped:
        yield ok("no unfinished trainings")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
