"""Run folders that ended processes left on disk: find them, send their unsent records."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import progress, short, without_secrets
from pipeline.paths import Paths
from pipeline.tracking.run_folder.folder import RunFolder, count_unsent, read_header
from pipeline.tracking.run_folder.lock import BusyError
from pipeline.tracking.run_folder.sender import Delivery, RecordWriter, RunLostError

BUSY = "in use by a running process"
BATCH = 1000  # records: as many points as MLflow accepts in one call, where each has one
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
    """Run folder on disk. training: the progress folder around it, None for a stage's."""

    folder: Path
    training: Path | None

    @property
    def header(self) -> dict[str, Any]:
        """Header of the run, also while a process uses the folder; {} if it is unknown."""
        return read_header(self.folder)

    @property
    def name(self) -> str:
        """Name of the run, for people."""
        name = " ".join(str(self.header.get("name", "")).split()) or self.folder.name
        return f"{name} (results)" if "attach" in self.header else name

    @property
    def run_key(self) -> str:
        """Run key of the training that the run belongs to; empty if to none."""
        return str(self.header.get("tags", {}).get("run_key", ""))


def find_kept_folders(paths: Paths) -> list[KeptFolder]:
    """Find all run folders of this repository that have a header or unsent records."""
    trainings = sorted(paths.progress.glob("[!.]*/tracking/[!.]*/"))
    stages = sorted((paths.main_root / "logs" / "spool").glob("[!.]*/"))
    kept = [KeptFolder(path, path.parent.parent) for path in trainings]
    kept += [KeptFolder(path, None) for path in stages]
    return [each for each in kept if each.header or count_unsent(each.folder)]


def send_kept(
    kept: KeptFolder, connect: Callable[[], RecordWriter], target: str
) -> SyncResult | None:
    """Send unsent records; None if the folder is gone. Errors of the store are in the result."""
    name = kept.name
    try:
        folder = RunFolder.open_existing(kept.folder)
    except BusyError:
        return SyncResult(name, BUSY, complete=True)
    except FileNotFoundError:
        return None
    except (OSError, GanError) as error:
        return SyncResult(name, str(error), complete=False)
    try:
        return _Sending(name, kept, folder).send(connect, target)
    finally:
        folder.release()


class _Sending:
    def __init__(self, name: str, kept: KeptFolder, folder: RunFolder) -> None:
        self.name, self.kept, self.folder = name, kept, folder
        self.sent = 0
        self.rejected: list[str] = []

    def send(self, connect: Callable[[], RecordWriter], target: str) -> SyncResult:
        try:
            self._end_killed_stage()
            delivery = Delivery(self.folder, connect, target, self.rejected.append)
            self._send_twice(delivery)
        except Exception as error:
            text = f"{self.folder.unsent} records not sent: {_reason(error)}"
            return SyncResult(self.name, text, complete=False, sent=self.sent, error=error)
        if self.folder.unsent:
            return SyncResult(self.name, BUSY, complete=True, sent=self.sent)
        problems = list(self._problems())
        if not self.folder.damaged and self._is_over():
            self.folder.remove()
        text = f"{self.sent} records sent" if self.sent else "nothing missing"
        if delivery.lacking_file:
            text += (
                f", except {delivery.lacking_file} files that were deleted after an earlier send"
            )
        return SyncResult(self.name, "; ".join([text, *problems]), not problems, self.sent)

    def _end_killed_stage(self) -> None:
        """End the run of a killed stage, which no process resumes, or it would run for ever."""
        last = self.folder.last
        own = self.kept.training is None and "attach" not in self.folder.header
        if own and "time" in last and last["kind"] != "end":
            self.folder.add("end", status="KILLED", time=last["time"])
            self.folder.commit()

    def _send_twice(self, delivery: Delivery) -> None:
        try:
            self._send_all(delivery)
        except RunLostError:  # deleted since it was opened: send everything into a new run
            self._send_all(delivery)

    def _send_all(self, delivery: Delivery) -> None:
        delivery.open_run()
        unsent = self.folder.unsent
        if unsent < MIN_FOR_PROGRESS:
            for count in self._send_batches(delivery):
                self.sent += count
            return
        with progress(self.name, unsent) as advance:
            for count in self._send_batches(delivery):
                self.sent += count
                advance(self.sent, "records")

    def _send_batches(self, delivery: Delivery) -> Iterator[int]:
        """Send until a training waits for its run folder."""
        for count in delivery.send_batches(BATCH):
            yield count
            if self.folder.lock.wanted:
                return

    def _problems(self) -> Iterator[str]:
        if self.rejected:
            yield f"{len(self.rejected)} rejected ({self.rejected[0]})"
        if self.folder.damaged:
            yield f"{self.folder.damaged} damaged in {self.folder.folder / 'records.jsonl'}"

    def _is_over(self) -> bool:
        """Whether no process is going to continue the run."""
        if self.kept.training is None:
            return True
        ended = self.folder.last.get("status") == "FINISHED"
        return ended and (self.kept.training / "finished").is_file()


def _reason(error: Exception) -> str:
    if isinstance(error, RunLostError):
        return "the store has lost its run"
    return without_secrets(short(error))
