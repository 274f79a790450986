"""Recorder of one MLflow run: params, metrics and files that are sent after a `commit`."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.tracking.run_folder.folder import RunFolder
from pipeline.tracking.run_folder.sender import RecordWriter, Sender, warn
from pipeline.tracking.system_metrics import SystemMonitor

FLUSH_S = 20.0  # for a server that may hang
LOCAL_FLUSH_S = 180.0  # a file doesn't hang, but many that begin at once wait for each other
PARAM_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 6000, 8000, 36  # MLflow's limits, in characters


def flatten(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and short texts of a nested mapping."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)[:PARAM_LENGTH]


def truncate_tags(values: Mapping[str, str]) -> dict[str, str]:
    """Tags, each at most as long as MLflow accepts."""
    return {key: str(value)[:TAG_LENGTH] for key, value in values.items()}


def dataset_fields(
    name: str,
    digest: str,
    source: Mapping[str, object],
    profile: Mapping[str, object],
    context: str,
) -> dict[str, str]:
    """Fields of a record of kind "dataset"."""
    return {
        "name": name,
        "digest": digest[:DIGEST_LENGTH],
        "source": json.dumps(source, sort_keys=True),
        "profile": json.dumps(profile, sort_keys=True),
        "context": context,
    }


class Run:
    """Recorder of one MLflow run. Methods return at once; nothing is sent before `commit`."""

    def __init__(
        self, folder: RunFolder | None, connect: Callable[[], RecordWriter], target: str
    ) -> None:
        """`target` names the store, without secrets. Without a folder all records are dropped."""
        self.folder = folder
        self._target = target
        self._sender = Sender(folder, connect, target) if folder else None
        self._monitor = SystemMonitor()
        self._warned = False

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, as soon as it has one."""
        return self.folder.state.get("run_id") if self.folder else None

    @property
    def unsent(self) -> int:
        """Committed records that the store has not confirmed."""
        return self.folder.unsent if self.folder else 0

    @property
    def url(self) -> str:
        """Address of the server, or the command that shows the local store."""
        return self._target if self._target.startswith("http") else "gan ui"

    def guard(self, action: Callable[[RunFolder], None]) -> None:
        """Call `action` with the folder; an error is printed once on stderr, never raised."""
        if self.folder is None or self._sender is None:
            return
        try:
            action(self.folder)
        except Exception as error:
            if not self._warned:  # not the store's, which the sender reports: the disk's, or a bug
                self._warned = True
                warn(f"not recorded: {error}")

    def attempt(self, action: Callable[[], None]) -> None:
        """Call `action`, which makes a record; errors as in `guard`."""
        self.guard(lambda _: action())

    def params(self, values: Mapping[str, object]) -> None:
        """Record hyperparameters; nested mappings become dotted names."""
        self.guard(lambda folder: folder.add("params", values=dict(flatten(values))))

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags; a later value replaces an earlier one."""
        self.guard(lambda folder: folder.add("tags", values=truncate_tags(values)))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step (images seen)."""
        numbers = {key: float(value) for key, value in values.items()}
        self.guard(lambda folder: folder.add("metrics", values=numbers, step=int(step)))

    def system_metrics(self, step: int) -> None:
        """Record the load of the machine since the last call, at a step."""
        self.guard(lambda _: self.metrics(self._monitor.measure(), step))

    def image(self, key: str, file: Path, step: int) -> None:
        """Record a picture of a series: the UI steps through the steps of one key."""

        def add(folder: RunFolder) -> None:
            if not folder.has_point(key, step):
                name = folder.copy_file(file, f"images/{key.replace('/', '~')}-{step}.png")
                folder.add("image", key=key, step=int(step), file=name)

        self.guard(add)

    def artifact(self, file: Path, artifact_path: str = "") -> None:
        """Record a copy of a file, under `artifact_path` in the run's artefacts."""

        def add(folder: RunFolder) -> None:
            name = folder.copy_file(file, f"artifacts/{uuid.uuid4().hex}/{file.name}")
            folder.add("artifact", file=name, folder=artifact_path)

        self.guard(add)

    def dataset(
        self,
        name: str,
        digest: str,
        source: Mapping[str, object],
        profile: Mapping[str, object],
        context: str = "training",
    ) -> None:
        """Record the run's dataset. source, profile: plain values that MLflow keeps as JSON."""
        fields = dataset_fields(name, digest, source, profile, context)
        self.guard(lambda folder: folder.add("dataset", **fields))

    def links(self) -> None:
        """Link this run and the runs of stages that share its data with each other."""
        self.guard(lambda folder: folder.add("links"))

    def model(self, checkpoint: Path, card: Path) -> None:
        """Record the generator of a checkpoint as an MLflow model, with its card (Markdown)."""

        def add(folder: RunFolder) -> None:
            parent = f"models/{uuid.uuid4().hex}"
            names = [
                folder.copy_file(file, f"{parent}/{file.name}") for file in (checkpoint, card)
            ]
            folder.add("model", files=names)

        self.guard(add)

    def prepare(self, step: int) -> None:
        """Write records down beside a checkpoint at `step`; `commit` follows it.

        A kill between the two loses nothing: a training that resumes from that checkpoint commits
        them.
        """
        self.guard(lambda folder: folder.prepare(step))

    def commit(self) -> None:
        """Make records durable and let them be sent; call after a checkpoint."""
        self.guard(RunFolder.commit)
        if self._sender:
            self._sender.wake()

    def drop(self) -> None:
        """Forget records since the last commit: their steps are going to be repeated."""
        self.guard(RunFolder.drop)

    def close(self, status: str = "FINISHED", timeout_s: float | None = None) -> None:
        """End the run and send what is left, within `timeout_s` (20 s, 180 s for a local file).

        Status FINISHED, FAILED or KILLED. Uncommitted records are dropped unless FINISHED: those
        points are behind the last checkpoint, and a resumed run measures them again.
        """
        if status != "FINISHED":
            self.drop()
        self.guard(lambda folder: folder.add("end", status=status))
        self.flush(timeout_s)

    def flush(self, timeout_s: float | None = None) -> None:
        """Like `close`, but leaves the run's status alone. Nothing is recorded afterwards."""
        self.guard(RunFolder.commit)
        if self._sender is None or self.folder is None:
            return
        default = LOCAL_FLUSH_S if self._target.startswith("sqlite:") else FLUSH_S
        self._sender.finish(default if timeout_s is None else timeout_s)
        self.guard(self._warn_of_unsent)

    def _warn_of_unsent(self, folder: RunFolder) -> None:
        if unsent := folder.unsent:
            warn(
                f"{unsent} records not sent to {self._target}, kept in {folder.folder}; "
                "`gan sync` sends them"
            )

    def remove_if_sent(self) -> None:
        """Remove the run folder if all is sent; for runs that no process continues."""

        def remove(folder: RunFolder) -> None:
            if self.run_id and not folder.unsent:
                folder.remove()

        self.guard(remove)
