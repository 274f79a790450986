"""Sending of a run folder to a store: the records behind the last confirmed one, in their order.

A push that is repeated, also after a kill, sends nothing twice but the batch under way, and
writing that again changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pipeline.console import short
from pipeline.tracking.run_folder.folder import DAMAGED, RECORDS, Record, RunFolder

if TYPE_CHECKING:
    from pipeline.tracking.mlflow.writer import MlflowWriter

BATCH = 1000  # records: as many points as MLflow accepts in one call, where each has one


class RejectedError(Exception):
    """The store understood the record and will never accept it."""


class RunLostError(Exception):
    """The store no longer has the run."""


def push(
    folder: RunFolder, writer: "MlflowWriter", target: str, on_rejected: Callable[[str], None]
) -> Iterator[int]:
    """Send unsent records to the store `target`; yields how many were confirmed.

    The caller holds the folder's lock. on_rejected: called with the reason for each record that
    the store rejects. Errors of the writer are raised; the next push resumes behind the last
    confirmed record, and opens another run after RunLostError.
    """
    if not folder.opened:
        folder.set_target(target, writer.open_run(folder.header))
    for group in _group(folder.read_unsent()):
        records = [record for _, record in group]
        try:
            _send(folder, writer, records, on_rejected)
        except RunLostError:
            folder.opened = False
            raise
        folder.confirm(group[-1][0], records)
        yield len(group)


def _group(entries: Iterable[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    """Group consecutive metrics; every other record is a group of its own."""
    group: list[tuple[int, Record]] = []
    for entry in entries:
        joins = group and group[0][1]["kind"] == entry[1]["kind"] == "metrics"
        if group and not (joins and len(group) < BATCH):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _send(
    folder: RunFolder,
    writer: "MlflowWriter",
    records: list[Record],
    on_rejected: Callable[[str], None],
) -> None:
    if records[0] is DAMAGED:
        on_rejected(f"a damaged line in {folder.path / RECORDS}")
    elif not all((folder.files / name).is_file() for name in records[0].get("files", ())):
        folder.lacking += 1
    else:
        _write(folder, writer, records, on_rejected)


def _write(
    folder: RunFolder,
    writer: "MlflowWriter",
    records: list[Record],
    on_rejected: Callable[[str], None],
) -> None:
    try:
        writer.write(folder.state["run_id"], records, folder.files)
    except (RejectedError, KeyError) as error:
        if len(records) == 1:
            on_rejected(short(error))
            return
        for record in records:  # find the rejected one, write the others
            _write(folder, writer, [record], on_rejected)
