"""Run folders that ended processes left on disk: find them, send their unsent records."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import one_line, progress, short, without_secrets
from pipeline.paths import Paths
from pipeline.tracking.run_folder import earlier_form
from pipeline.tracking.run_folder.folder import RunFolder, count_unsent, read_state, runs_folder
from pipeline.tracking.run_folder.push import RecordWriter, RunLostError, push

BUSY = "in use by a running process"
MIN_FOR_PROGRESS = 1000  # records


@dataclass(frozen=True)
class SyncResult:
    """Result of sending one run, a line of `gan sync`.

    complete: nothing is left to send by another `gan sync`. error: raised by the store, None if
    it raised none.
    """

    name: str
    text: str
    complete: bool
    sent: int = 0
    error: Exception | None = None


@dataclass(frozen=True)
class KeptFolder:
    """Run folder on disk, perhaps of an earlier form; `unsent`: records that are not confirmed.

    training: progress folder of the training that it is of, None for a stage's.
    """

    folder: Path
    header: dict[str, Any]
    unsent: int
    training: Path | None = None

    @property
    def name(self) -> str:
        """Name of the run, for people."""
        name = one_line(str(self.header.get("name", ""))) or self.folder.name
        return f"{name} (results)" if "attach" in self.header else name

    @property
    def run_key(self) -> str:
        """Run key of the training that the run belongs to; empty if to none."""
        return str(self.header.get("tags", {}).get("run_key", ""))

    def is_over(self, last: dict[str, Any]) -> bool:
        """Whether no process is going to continue the run, whose last record is `last`."""
        if self.training is None or not self.training.is_dir():
            return True
        return last.get("status") == "FINISHED" and (self.training / "finished").is_file()


def find_kept_folders(paths: Paths) -> list[KeptFolder]:
    """Find all run folders of this repository that have a header or unsent records."""
    kept = [
        KeptFolder(path, earlier_form.read_header(path), earlier_form.count_unsent(path))
        for path in earlier_form.find(paths)
    ]
    for path in sorted(runs_folder(paths).glob("[!.]*/")):
        header = read_state(path).get("run", {})
        training = paths.progress / header["progress"] if header.get("progress") else None
        kept.append(KeptFolder(path, header, count_unsent(path), training))
    return [each for each in kept if each.header or each.unsent]


def send_kept(
    kept: KeptFolder, connect: Callable[[], RecordWriter], target: str
) -> SyncResult | None:
    """Send unsent records; None if the folder is gone. Errors of the store are in the result."""
    try:
        folder = RunFolder(kept.folder)
        if not folder.take():
            return SyncResult(kept.name, BUSY, complete=True)
    except FileNotFoundError:
        return None
    except (OSError, GanError) as error:
        if kept.header:  # of an earlier form, and not converted
            return SyncResult(kept.name, BUSY, complete=True)
        return SyncResult(kept.name, str(error), complete=False)
    try:
        return _send(kept, folder, connect, target)
    finally:
        folder.release()


def _send(
    kept: KeptFolder, folder: RunFolder, connect: Callable[[], RecordWriter], target: str
) -> SyncResult:
    rejected: list[str] = []
    before = count_unsent(folder.path)
    try:
        _end_killed_stage(kept, folder)
        before = count_unsent(folder.path)
        sent = send_all(kept.name, folder, connect, target, rejected)
    except Exception as error:
        left = count_unsent(folder.path)
        text = f"{left} records not sent: {_reason(error)}"
        return SyncResult(kept.name, text, complete=False, sent=before - left, error=error)
    if not rejected and kept.is_over(folder.last):
        folder.remove()
    text = f"{sent} records sent" if sent else "nothing missing"
    if folder.lacking:
        text += f", except {folder.lacking} files that were deleted after an earlier send"
    if rejected:
        text += f"; {len(rejected)} rejected ({rejected[0]})"
    return SyncResult(kept.name, text, not rejected, sent)


def _end_killed_stage(kept: KeptFolder, folder: RunFolder) -> None:
    """End the run of a killed stage, which no process resumes, or it would run for ever."""
    own = kept.training is None and not {"attach", "progress"} & set(folder.header)
    last = folder.last
    if own and last and last["kind"] != "end":
        folder.append([{"kind": "end", "time": last["time"], "status": "KILLED"}])


def send_all(
    name: str,
    folder: RunFolder,
    connect: Callable[[], RecordWriter],
    target: str,
    rejected: list[str],
) -> int:
    """Push a folder, with a bar where that takes long; returns how many records were sent.

    A run that was deleted since it was opened is made anew. rejected: gets the reasons.
    """
    writer = connect()
    try:
        return _push(name, folder, writer, target, rejected)
    except RunLostError:
        return _push(name, folder, writer, target, rejected)


def _push(
    name: str, folder: RunFolder, writer: RecordWriter, target: str, rejected: list[str]
) -> int:
    sent, unsent = 0, count_unsent(folder.path)
    counts = push(folder, writer, target, rejected.append)
    if unsent < MIN_FOR_PROGRESS:
        return sum(counts)
    with progress(name, unsent) as advance:
        for count in counts:
            sent += count
            advance(sent, "records")
    return sent


def _reason(error: Exception) -> str:
    if isinstance(error, RunLostError):
        return "the store has lost its run"
    return without_secrets(short(error))
