"""`gan doctor` on what processes left behind: unsent records, unfinished trainings."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

from pipeline.housekeeping.doctor_point import Point, few, note, ok
from pipeline.paths import Paths
from pipeline.tracking.spool.left_behind import left_behind
from pipeline.tracking.spool.records import state_of, unsent_in


def busy(folder: Path) -> bool:
    """Whether a process has the lock in a folder; nothing is written."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def continued(paths: Paths) -> set[str]:
    """Ids of the rows that a process on this machine works on."""
    spools = (left.folder for left in left_behind(paths) if busy(left.folder))
    return {str(state_of(folder).get("run_id")) for folder in spools}


def unsent(paths: Paths) -> Point:
    """Records that the store does not have yet; those of running processes are on their way."""
    idle = [left for left in left_behind(paths) if not busy(left.folder)]
    waiting = [(left.name, number) for left in idle if (number := unsent_in(left.folder))]
    if not waiting:
        return ok("no records wait to be sent")
    total = sum(number for _, number in waiting)
    return note(f"{total:,} records not sent, of {few([n for n, _ in waiting])}", "`gan sync`")


def unfinished(paths: Paths) -> Iterator[Point]:
    """Trainings that go on where they stopped."""
    folders = [path.parent for path in sorted(paths.progress.glob("*/identity.json"))]
    running = [folder for folder in folders if busy(folder)]
    stopped = [
        folder
        for folder in folders
        if folder not in running
        and not (folder / "finished").is_file()
        and any(folder.glob("state-*.pt"))
    ]
    if running:
        yield ok(f"trainings that run: {few([folder.name for folder in running])}")
    if stopped:
        size = sum(path.stat().st_size for each in stopped for path in _files(each)) >> 20
        yield note(
            f"unfinished trainings: {few([each.name for each in stopped])}, {size:,} MiB",
            "`gan train` with their settings goes on, `gan clean` lists and removes them",
        )
    if not running and not stopped:
        yield ok("no unfinished trainings")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
