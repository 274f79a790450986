"""`gan sync`: sends kept records and missing parts of outs. Doing it twice changes nothing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from gan.errors import GanError
from pipeline.console import short, tell, without_secrets
from pipeline.paths import Paths
from pipeline.tracking.mlflow.environment import wait_longer
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.run_folder.earlier_form import convert_all
from pipeline.tracking.run_folder.kept_folders import (
    BUSY,
    KeptFolder,
    SyncResult,
    find_kept_folders,
    send_kept,
)

if TYPE_CHECKING:
    from pipeline.tracking.mlflow.writer import MlflowWriter


def run(paths: Paths) -> None:
    """Send every run folder that no process uses, then the parts of outs that their run lacks.

    Prints a line a run. GanError if the store can't be reached or something stays unsent.
    """
    wait_longer(15)  # than a training waits: big checkpoints take a server some time
    with _lock(paths.main_root / "logs" / "sync.lock"):
        convert_all(paths)
        kept = find_kept_folders(paths)
        if kept or (paths.models / "final.pt").is_file():
            _send(kept, paths)
        else:
            tell("nothing to send: no records are kept, and there is no models/final.pt")


def _lock(file: Path) -> AbstractContextManager[object]:
    """One `gan sync` at a time: two that find no run of a training would create it twice."""
    lock = FileLock(file)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        tell("waiting for another `gan sync`")
        return lock.acquire()


def _send(kept: list[KeptFolder], paths: Paths) -> None:
    uri = tracking_uri(paths)
    target = without_secrets(uri)
    from pipeline.tracking.mlflow.writer import MlflowWriter  # importing mlflow takes seconds

    try:
        store = MlflowWriter(uri, paths.main_root)
        store.require_place()
    except GanError:
        raise
    except Exception as error:
        raise GanError(
            f"{target} can't be reached ({without_secrets(short(error))}); nothing is lost, "
            "`gan sync` again when it is back"
        ) from None
    results = []
    for each in _send_each(kept, paths, store, target):
        tell(f"{each.name:<28}  {each.text}")
        results.append(each)
    if incomplete := [each for each in results if not each.complete]:
        raise GanError(
            f"{len(incomplete)} of {len(results)} runs are incomplete in {target}; remove the "
            "cause named above, then `gan sync` again"
        )
    busy = any(each.text == BUSY for each in results)
    sent = any(each.sent for each in results)
    text = "sent what was missing in" if sent else "nothing is missing in"
    tell(f"{text} {target}{', except runs in use' if busy else ''}")


def _send_each(
    kept: list[KeptFolder], paths: Paths, store: "MlflowWriter", target: str
) -> Iterator[SyncResult]:
    for each in kept:
        if result := send_kept(each, store, target):
            yield result
    if (paths.models / "final.pt").is_file():
        from pipeline.tracking.sync.outs import send_outs  # torch takes seconds

        yield send_outs(paths, store, target)
