"""Spools that processes left behind: which there are, and sending what is unsent in them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import progress
from pipeline.paths import Paths
from pipeline.tracking.spool.lock import BusyError
from pipeline.tracking.spool.records import row_of, unsent_in
from pipeline.tracking.spool.sender import Delivery, Receiver, RowLostError, short, without_secrets
from pipeline.tracking.spool.spool import Spool

BUSY = "in use by a running process"
BATCH = 1000  # records: as many points as MLflow takes at a time, where each has one
WORTH_A_BAR = 1000  # records


@dataclass(frozen=True)
class Told:
    """One line of `gan sync`. failed: why the store may be out of order, None if it is not."""

    name: str
    text: str
    whole: bool
    sent: int = 0
    failed: Exception | None = None


@dataclass(frozen=True)
class Left:
    """A spool's folder. training: the progress folder that it is in, None for a stage's."""

    folder: Path
    training: Path | None

    @property
    def row(self) -> dict[str, Any]:
        """The row that it stands for, also while a process uses it; {} if that is unknown."""
        return row_of(self.folder)

    @property
    def name(self) -> str:
        name = " ".join(str(self.row.get("name", "")).split()) or self.folder.name
        return f"{name} (results)" if "attach" in self.row else name

    @property
    def run_key(self) -> str:
        """Of the training that it belongs to; empty if to none."""
        return str(self.row.get("tags", {}).get("run_key", ""))


def left_behind(paths: Paths) -> list[Left]:
    """All spools of this repository with something in them."""
    trainings = sorted(paths.progress.glob("[!.]*/tracking/[!.]*/"))
    stages = sorted((paths.main_root / "logs" / "spool").glob("[!.]*/"))
    found = [Left(each, each.parent.parent) for each in trainings]
    found += [Left(each, None) for each in stages]
    return [each for each in found if each.row or unsent_in(each.folder)]


def send(left: Left, connect: Callable[[], Receiver], target: str) -> Told | None:
    """Send what is unsent; None if the spool is gone by now. Never raises what a store raises."""
    name = left.name
    try:
        spool = Spool.left(left.folder)
    except BusyError:
        return Told(name, BUSY, whole=True)
    except FileNotFoundError:
        return None
    except (OSError, GanError) as error:
        return Told(name, str(error), whole=False)
    try:
        return _Sending(name, left, spool).told(connect, target)
    finally:
        spool.release()


class _Sending:
    def __init__(self, name: str, left: Left, spool: Spool) -> None:
        self.name, self.left, self.spool = name, left, spool
        self.sent = 0
        self.refused: list[str] = []

    def told(self, connect: Callable[[], Receiver], target: str) -> Told:
        try:
            self._end_a_killed_stage()
            delivery = Delivery(self.spool, connect, target, self.refused.append)
            self._empty(delivery)
        except Exception as error:
            why = f"{self.spool.unsent} records not sent: {_why(error)}"
            return Told(self.name, why, whole=False, sent=self.sent, failed=error)
        if self.spool.unsent:
            return Told(self.name, BUSY, whole=True, sent=self.sent)
        problems = list(self._problems())
        if not self.spool.damaged and self._is_over():
            self.spool.remove()
        text = f"{self.sent} records sent" if self.sent else "nothing missing"
        if delivery.gone:
            text += f", but for {delivery.gone} files that are no longer here"
        return Told(self.name, "; ".join([text, *problems]), not problems, self.sent)

    def _end_a_killed_stage(self) -> None:
        """Nobody goes on with a stage's row; without an end it would run for ever."""
        last = self.spool.last
        own = self.left.training is None and "attach" not in self.spool.state["row"]
        if own and "time" in last and last["kind"] != "end":
            self.spool.add("end", status="KILLED", time=last["time"])
            self.spool.commit()

    def _empty(self, delivery: Delivery) -> None:
        try:
            self._send_all(delivery)
        except RowLostError:  # since it was found: once more, into a new one
            self._send_all(delivery)

    def _send_all(self, delivery: Delivery) -> None:
        delivery.open()
        unsent = self.spool.unsent
        if unsent < WORTH_A_BAR:
            for count in self._batches(delivery):
                self.sent += count
            return
        with progress(self.name, unsent) as advance:
            for count in self._batches(delivery):
                self.sent += count
                advance(self.sent, "records")

    def _batches(self, delivery: Delivery) -> Iterator[int]:
        """Until a training wants its spool."""
        for count in delivery.batches(BATCH):
            yield count
            if self.spool.lock.wanted:
                return

    def _problems(self) -> Iterator[str]:
        if self.refused:
            yield f"{len(self.refused)} refused ({self.refused[0]})"
        if self.spool.damaged:
            yield f"{self.spool.damaged} damaged in {self.spool.folder / 'records.jsonl'}"

    def _is_over(self) -> bool:
        """Whether nobody is going to continue the row."""
        if self.left.training is None:
            return True
        ended = self.spool.last.get("status") == "FINISHED"
        return ended and (self.left.training / "finished").is_file()


def _why(error: Exception) -> str:
    if isinstance(error, RowLostError):
        return "the store has lost its row"
    return without_secrets(short(error))
