"""Recorder of one MLflow run: params, metrics and files that are sent after a `commit`."""

import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.console import short
from pipeline.tracking.run_folder.folder import Fact, Record, RunFolder, count_unsent, now_ms
from pipeline.tracking.run_folder.push import Sender, warn
from pipeline.tracking.system_metrics import SystemMonitor
from pipeline.training import tracker
from pipeline.training.identity import flatten

if TYPE_CHECKING:
    from pipeline.tracking.mlflow.writer import MlflowWriter

FLUSH_S = 20.0  # for a server that may hang
LOCAL_FLUSH_S = 180.0  # a file doesn't hang, but many that begin at once wait for each other
HURRY_S = 5.0  # for a stage that was asked to stop
PARAM_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 6000, 8000, 36  # MLflow's limits, in characters


def param_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Dotted names and short texts of nested values."""
    return {key: str(value)[:PARAM_LENGTH] for key, value in flatten(values).items()}


class Run(tracker.Record):
    """Recorder of one MLflow run. Methods return at once; nothing is sent before `commit`.

    known: parts that the run has already, which are not recorded again. problems: errors of the
    disk, or bugs, that kept something from being recorded; the first is printed.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        connect: "Callable[[], MlflowWriter] | None" = None,
        target: str = "",
    ) -> None:
        """`target` names the store, without secrets. Without a folder all records are dropped.

        Without `connect` nothing is sent, and problems are not printed.
        """
        self.folder = folder
        self.known: set[Fact] = set()
        self.waiting: list[Record] = []
        self.problems: list[str] = []
        self.time_of: Callable[[int | None], int] = lambda _step: now_ms()
        self.copy: Callable[[Path, Path], object] = shutil.copyfile
        self._target = target
        self._monitor = SystemMonitor()
        self._sender = Sender(folder, connect, target) if folder and connect else None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, as soon as it has one."""
        return self.folder.state.get("run_id") if self.folder else None

    @property
    def unsent(self) -> int:
        """Committed records that the store has not confirmed."""
        return count_unsent(self.folder.path) if self.folder else 0

    def attempt(self, action: Callable[[RunFolder], object]) -> None:
        """Call `action`, if there is a folder; an error is a problem, and never raised."""
        if self.folder is None:
            return
        try:
            action(self.folder)
        except Exception as error:
            if self._sender and not self.problems:
                warn(f"not recorded: {error}")
            self.problems.append(short(error))

    def _add(self, kind: str, files: Sequence[Path] = (), **fields: Any) -> None:
        self.attempt(lambda folder: self._keep(folder, kind, files, fields))

    def _keep(
        self, folder: RunFolder, kind: str, files: Sequence[Path], fields: dict[str, Any]
    ) -> None:
        """Keep a record, less what the run has already, with copies of its files."""
        step = fields.get("step")
        if "values" in fields:
            values = fields["values"].items()
            new = {key: value for key, value in values if (kind, key, step) not in self.known}
            fields = fields | {"values": new}
            known = not new
        else:
            known = (kind, fields.get("key", ""), step) in self.known
        if known:
            return
        record = {"kind": kind, "time": self.time_of(step), **fields}
        if files:
            parent = uuid.uuid4().hex
            (folder.files / parent).mkdir()
            for file in files:
                self.copy(file, folder.files / parent / file.name)
            record["files"] = [f"{parent}/{file.name}" for file in files]
        self.waiting.append(record)

    def params(self, values: Mapping[str, object]) -> None:
        """Record hyperparameters; nested mappings become dotted names."""
        self._add("params", values=param_texts(values))

    def tags(self, values: Mapping[str, str]) -> None:
        self._add("tags", values={key: str(text)[:TAG_LENGTH] for key, text in values.items()})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        numbers = {key: float(value) for key, value in values.items()}
        self._add("metrics", values=numbers, step=int(step))

    def system_metrics(self, step: int) -> None:
        self.attempt(lambda _: self.metrics(self._monitor.measure(), step))

    def image(self, key: str, file: Path, step: int) -> None:
        self._add("image", [file], key=key, step=int(step))

    def artifact(self, file: Path, folder: str = "") -> None:
        """Record a copy of a file, under `folder` in the run's artefacts."""
        self._add("artifact", [file], key=f"{folder}/{file.name}".lstrip("/"))

    def dataset(
        self,
        name: str,
        digest: str,
        source: Mapping[str, object],
        profile: Mapping[str, object],
    ) -> None:
        """Record the run's dataset. source, profile: plain values that MLflow keeps as JSON."""
        self._add(
            "dataset",
            name=name,
            key=digest[:DIGEST_LENGTH],
            source=json.dumps(source, sort_keys=True),
            profile=json.dumps(profile, sort_keys=True),
        )

    def links(self) -> None:
        """Link this run and the runs of stages that share its data with each other."""
        self._add("links")

    def model(self, checkpoint: Path, card: Path) -> None:
        """Record the generator of a checkpoint as an MLflow model, with its card (Markdown)."""
        self._add("model", [checkpoint, card])

    def mark_resumed(self) -> None:
        """Record that the run is under way again."""
        self._add("resume")

    def end(self, status: str) -> None:
        """Record the end of the run: FINISHED, FAILED or KILLED."""
        self._add("end", status=status)

    def prepare(self, step: int) -> None:
        """Write records down beside a checkpoint at `step`; `commit` follows it.

        A kill between the two loses nothing: a training that resumes from that checkpoint commits
        them.
        """
        self.attempt(lambda folder: self._write(folder, step))

    def commit(self) -> None:
        """Make records durable and let them be sent; call after a checkpoint."""
        self.attempt(self._write)
        if self._sender:
            self._sender.wake()

    def _write(self, folder: RunFolder, checkpoint: int | None = None) -> None:
        folder.append(self.waiting, checkpoint)
        self.waiting.clear()

    def drop(self) -> None:
        """Forget records since the last commit: their steps are going to be repeated."""
        self.waiting.clear()
        self.attempt(RunFolder.cut)

    def close(
        self, status: str = "FINISHED", *, hurry: bool = False, timeout_s: float | None = None
    ) -> None:
        """End the run and send what is left, within 20 s (180 s for a local file, 5 in a hurry).

        Uncommitted records are dropped unless FINISHED: those points are behind the last
        checkpoint, and a resumed run measures them again.
        """
        if status != "FINISHED":
            self.drop()
        self.end(status)
        self.flush(HURRY_S if hurry else timeout_s)

    def flush(self, timeout_s: float | None = None) -> None:
        """Like `close`, but leaves the run's status alone. Nothing is recorded afterwards.

        Removes the run folder if all is sent, unless it is of a training, which may be resumed.
        """
        self.commit()
        if self._sender is None:
            return
        default = LOCAL_FLUSH_S if self._target.startswith("sqlite:") else FLUSH_S
        self._sender.finish(default if timeout_s is None else timeout_s)
        self.attempt(self._settle)

    def _settle(self, folder: RunFolder) -> None:
        if unsent := self.unsent:
            warn(
                f"{unsent} records not sent to {self._target}, kept in {folder.path}; "
                "`gan sync` sends them"
            )
        elif "progress" not in folder.header:
            self.remove_if_sent()

    def remove_if_sent(self) -> None:
        """Remove the run folder if all is sent; for a run that no process continues."""
        if self.run_id and not self.unsent:
            self.attempt(RunFolder.remove)
