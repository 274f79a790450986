"""Run folders that ended processes left on disk: find them, send their unsent records."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan.errors import GanError
from pipeline.console import one_line, progress, short, without_secrets
from pipeline.paths import Paths
from pipeline.tracking.run_folder import earlier_form
from pipeline.tracking.run_folder.folder import RunFolder, count_unsent, read_state, runs_folder
from pipeline.tracking.run_folder.push import RunLostError, push

if TYPE_CHECKING:
    from pipeline.tracking.mlflow.writer import MlflowWriter

BUSY = "in use by a running process"
MIN_FOR_PROGRESS = 1000  # records


@dataclass(frozen=True)
class SyncResult:
    """Result of sending one run, a line of `gan sync`.

    complete: nothing is left to send by another `gan sync`.
    """

    name: str
    text: str
    complete: bool
    sent: int = 0


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


def find_kept_folders(paths: Paths) -> list[KeptFolder]:
    """Find all run folders of this repository that have a header or unsent records."""
    kept = []
    for path in earlier_form.find(paths):
        header, unsent = earlier_form.read(path)
        kept.append(KeptFolder(path, header, len(unsent)))
    for path in sorted(runs_folder(paths).glob("[!.]*/")):
        header = read_state(path).get("run", {})
        training = paths.progress / header["progress"] if header.get("progress") else None
        kept.append(KeptFolder(path, header, count_unsent(path), training))
    return [each for each in kept if each.header or each.unsent]


def send_kept(kept: KeptFolder, writer: "MlflowWriter", target: str) -> SyncResult | None:
    """Send unsent records; None if the folder is gone. Errors of the store are in the result."""
    busy = SyncResult(kept.name, BUSY, complete=True)
    try:
        folder = RunFolder(kept.folder)
        if not folder.take():
            return busy
    except FileNotFoundError:
        return None
    except (OSError, GanError) as error:
        # with a header it is of an earlier form, which was not converted
        return busy if kept.header else SyncResult(kept.name, str(error), complete=False)
    try:
        return _send(kept, folder, writer, target)
    finally:
        folder.release()


def _send(kept: KeptFolder, folder: RunFolder, writer: "MlflowWriter", target: str) -> SyncResult:
    rejected: list[str] = []
    last = folder.read_last()
    stage = kept.training is None and "attach" not in kept.header
    try:
        if stage and last.get("kind", "end") != "end":
            # no process resumes a killed stage, and its run would run for ever
            folder.append([{"kind": "end", "time": last["time"], "status": "KILLED"}])
        sent = send_all(kept.name, folder, writer, target, rejected)
    except RunLostError:
        text = f"{count_unsent(folder.path)} records not sent: their run was deleted meanwhile; "
        text += "`gan sync` once more sends them to a new one"
        return SyncResult(kept.name, text, complete=False)
    except Exception as error:
        text = f"{count_unsent(folder.path)} records not sent: {without_secrets(short(error))}"
        return SyncResult(kept.name, text, complete=False)
    training = kept.training
    over = (  # no process is going to continue the run
        training is None
        or not training.is_dir()
        or (last.get("status") == "FINISHED" and (training / "finished").is_file())
    )
    if not rejected and over:
        folder.remove()
    text = f"{sent} records sent" if sent else "nothing missing"
    if folder.lacking:
        text += f", except {folder.lacking} files that were deleted after an earlier send"
    if rejected:
        text += f"; {len(rejected)} rejected ({rejected[0]})"
    return SyncResult(kept.name, text, not rejected, sent)


def send_all(
    name: str, folder: RunFolder, writer: "MlflowWriter", target: str, rejected: list[str]
) -> int:
    """Push a folder, with a bar where that takes long; returns how many records were sent.

    rejected: gets the reasons.
    """
    sent, unsent = 0, count_unsent(folder.path)
    bar = progress(name, unsent) if unsent >= MIN_FOR_PROGRESS else nullcontext()
    with bar as advance:
        for count in push(folder, writer, target, rejected.append):
            sent += count
            if advance:
                advance(sent, "records")
    return sent
