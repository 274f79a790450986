"""One run on its way to the tracker: what a stage may record, and when it counts."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.tracking.spool.sender import Receiver, Sender, warn
from pipeline.tracking.spool.spool import Spool
from pipeline.tracking.system_metrics import Machine

FLUSH_S = 20.0  # for a server that may hang
LOCAL_FLUSH_S = 180.0  # a file doesn't hang, but many that begin at once wait for each other
PARAM_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 6000, 8000, 36  # MLflow's limits, in characters


def flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and short texts of a nested mapping."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)[:PARAM_LENGTH]


def cut(values: Mapping[str, str]) -> dict[str, str]:
    """Tags as long as MLflow takes them."""
    return {key: str(value)[:TAG_LENGTH] for key, value in values.items()}


def dataset_fields(
    name: str,
    digest: str,
    source: Mapping[str, object],
    profile: Mapping[str, object],
    context: str,
) -> dict[str, str]:
    """What a record of kind "dataset" holds."""
    return {
        "name": name,
        "digest": digest[:DIGEST_LENGTH],
        "source": json.dumps(source, sort_keys=True),
        "profile": json.dumps(profile, sort_keys=True),
        "context": context,
    }


class Run:
    """One MLflow row. Every method returns at once; nothing is sent before `commit`."""

    def __init__(self, spool: Spool | None, connect: Callable[[], Receiver], target: str) -> None:
        """`target` names the store, without secrets. Without a spool everything is dropped."""
        self.spool = spool
        self._target = target
        self._sender = Sender(spool, connect, target) if spool else None
        self._machine = Machine()
        self._warned = False

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the row, as soon as it has one."""
        return self.spool.state.get("run_id") if self.spool else None

    @property
    def unsent(self) -> int:
        """Committed records that the tracker doesn't have yet."""
        return self.spool.unsent if self.spool else 0

    @property
    def url(self) -> str:
        """Where to look: the server's address, or the command that opens the local store."""
        return self._target if self._target.startswith("http") else "gan ui"

    def guarded(self, work: Callable[[Spool], None]) -> None:
        """Do something to the spool; an error is said once on stderr, never raised."""
        if self.spool is None or self._sender is None:
            return
        try:
            work(self.spool)
        except Exception as error:
            if not self._warned:  # apart from what the tracker costs: this is the disk, or a bug
                self._warned = True
                warn(f"not recorded: {error}")

    def attempt(self, work: Callable[[], None]) -> None:
        """Do what leads to a record; an error is treated as in `guarded`."""
        self.guarded(lambda _: work())

    def params(self, values: Mapping[str, object]) -> None:
        """Hyperparameters; nested mappings become dotted names."""
        self.guarded(lambda spool: spool.add("params", values=dict(flat(values))))

    def tags(self, values: Mapping[str, str]) -> None:
        """Tags; a later value replaces an earlier one."""
        self.guarded(lambda spool: spool.add("tags", values=cut(values)))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers at a step (images seen)."""
        numbers = {key: float(value) for key, value in values.items()}
        self.guarded(lambda spool: spool.add("metrics", values=numbers, step=int(step)))

    def system(self, step: int) -> None:
        """What the process takes of its machine since the last call, at a step."""
        self.guarded(lambda _: self.metrics(self._machine.measured(), step))

    def image(self, key: str, file: Path, step: int) -> None:
        """A picture of a series: the UI steps through the steps of one key."""

        def keep(spool: Spool) -> None:
            if not spool.knows(key, {"step": step}):
                name = spool.keep(file, f"images/{key.replace('/', '~')}-{step}.png")
                spool.add("image", key=key, step=int(step), file=name)

        self.guarded(keep)

    def artifact(self, file: Path, folder: str = "") -> None:
        """A copy of a file, under `folder` in the row's artefacts."""

        def keep(spool: Spool) -> None:
            name = spool.keep(file, f"artifacts/{uuid.uuid4().hex}/{file.name}")
            spool.add("artifact", file=name, folder=folder)

        self.guarded(keep)

    def dataset(
        self,
        name: str,
        digest: str,
        source: Mapping[str, object],
        profile: Mapping[str, object],
        context: str = "training",
    ) -> None:
        """What the run looked at. source, profile: plain values that MLflow keeps as JSON."""
        fields = dataset_fields(name, digest, source, profile, context)
        self.guarded(lambda spool: spool.add("dataset", **fields))

    def links(self) -> None:
        """Let rows of the stages that share data with this one name it, and it name them."""
        self.guarded(lambda spool: spool.add("links"))

    def model(self, checkpoint: Path, card: Path) -> None:
        """The generator of a checkpoint as a model of MLflow, with its card (Markdown)."""

        def keep(spool: Spool) -> None:
            folder = f"models/{uuid.uuid4().hex}"
            kept = [spool.keep(file, f"{folder}/{file.name}") for file in (checkpoint, card)]
            spool.add("model", files=kept)

        self.guarded(keep)

    def prepare(self, step: int) -> None:
        """Keep what was handed over beside a checkpoint at `step`; `commit` follows it.

        A kill between the two loses nothing: whoever goes on from that checkpoint takes it up.
        """
        self.guarded(lambda spool: spool.prepare(step))

    def commit(self) -> None:
        """Make everything handed over durable and let it be sent; call after a checkpoint."""
        self.guarded(Spool.commit)
        if self._sender:
            self._sender.wake()

    def drop(self) -> None:
        """Forget what was handed over since the last commit: it is going to be measured again."""
        self.guarded(Spool.drop)

    def close(self, status: str = "FINISHED", timeout_s: float | None = None) -> None:
        """End the row and send what is left, within `timeout_s` (20 s, 180 s for a local file).

        Status FINISHED, FAILED or KILLED. What isn't committed is dropped unless FINISHED: those
        points lie behind the last checkpoint, and a resumed run measures them again.
        """
        if status != "FINISHED":
            self.drop()
        self.guarded(lambda spool: spool.add("end", status=status))
        self.flush(timeout_s)

    def flush(self, timeout_s: float | None = None) -> None:
        """Like `close`, but leaves the row's status alone. The run takes nothing afterwards."""
        self.guarded(Spool.commit)
        if self._sender is None or self.spool is None:
            return
        usual = LOCAL_FLUSH_S if self._target.startswith("sqlite:") else FLUSH_S
        self._sender.finish(usual if timeout_s is None else timeout_s)
        self.guarded(self._say_what_is_unsent)

    def _say_what_is_unsent(self, spool: Spool) -> None:
        if unsent := spool.unsent:
            warn(
                f"{unsent} records not sent to {self._target}, kept in {spool.folder}; "
                "`gan sync` sends them"
            )

    def tidy(self) -> None:
        """Remove the spool if the tracker has everything; for runs that nobody continues."""

        def remove(spool: Spool) -> None:
            if self.run_id and not spool.unsent:
                spool.remove()

        self.guarded(remove)
