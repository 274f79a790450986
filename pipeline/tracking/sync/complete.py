"""Brings the row of the training whose outs lie here to what these say."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from gan.errors import GanError
from pipeline.console import progress
from pipeline.paths import Paths
from pipeline.tracking import rows as tracking
from pipeline.tracking.mlflow.row_contents import Contents, MlflowContents
from pipeline.tracking.spool.left_behind import BATCH, BUSY, Told, left_behind
from pipeline.tracking.spool.records import unsent_in
from pipeline.tracking.spool.sender import deliver, groups, short, without_secrets
from pipeline.tracking.sync.missing_parts import MissingParts
from pipeline.tracking.sync.outs import Outs, fill, new_row, outs_of
from pipeline.tracking.sync.times import Span, span_of


def complete(paths: Paths, store: Callable[[], MlflowContents]) -> Told:
    """Make the row of the training whose outs lie here, or add what it lacks.

    GanError where the store can't be reached.
    """
    name = "models/ and reports/"
    try:
        outs = outs_of(paths)
    except GanError as error:
        return Told(name, str(error), whole=False)
    if outs is None:
        return Told(name, "gone meanwhile", whole=True)
    name = f"{outs.origin.name} (files)"
    for each in left_behind(paths):
        if each.run_key == outs.origin.run_key and unsent_in(each.folder):
            return Told(name, "waits for the records that are kept of it", whole=True)
    try:
        return _complete(name, outs, paths, store())
    except GanError:
        raise
    except Exception as error:
        return Told(name, f"not sent: {without_secrets(short(error))}", whole=False)


def _complete(name: str, outs: Outs, paths: Paths, store: MlflowContents) -> Told:
    experiment = tracking.experiment_name()
    there = store.of(outs.origin.run_key, experiment, outs.keys)
    if there is not None and there.alive:
        return Told(name, BUSY, whole=True)
    span = span_of(outs.origin.run_key, outs.origin.images_seen, paths, there)
    with tempfile.TemporaryDirectory(prefix="gan-") as links:
        parts = _missing(there, span, store, Path(links))
        fill(parts, outs, paths, Path(links))
        if there is None:
            row_id = store.open(new_row(outs, paths, experiment, span))
        else:
            row_id = there.run_id
        refused = _send(parts, row_id, store)
    done = "completed" if there else "made from files"
    text = f"row {done}: {_content(parts)}" if parts.records else "nothing missing"
    if parts.different:
        text += f"; {parts.different} points that differ from the files' stay"
    text = "; ".join([text, *parts.problems, *([outs.foreign] if outs.foreign else ())])
    if refused:
        text += f"; {len(refused)} records refused ({refused[0]})"
    return Told(name, text, not refused, len(parts.records))


def _missing(
    there: Contents | None, span: Span, store: MlflowContents, folder: Path
) -> MissingParts:
    if there is None:
        return MissingParts(None, span.at, lambda _: False, folder)
    there = replace(there, files=there.files | store.listed(there.run_id, "lineage"))
    return MissingParts(there, span.at, partial(store.has_model_of, there.run_id), folder)


def _send(parts: MissingParts, row_id: str, store: MlflowContents) -> list[str]:
    refused: list[str] = []
    total = len(parts.records)
    if not total:
        return refused
    with progress("records", total) as advance:
        for first in range(0, total, BATCH):
            batch = [(0, record) for record in parts.records[first : first + BATCH]]
            for group in groups(batch):
                records = [record for _, record in group]
                deliver(store, row_id, records, Path(), refused.append)
            advance(min(total, first + BATCH), "")
    return refused


def _content(parts: MissingParts) -> str:
    counts = [(parts.points, "points"), (parts.files, "files")]
    others = sum(
        record["kind"] not in ("metrics", "image", "artifact", "model") for record in parts.records
    )
    return ", ".join(f"{n} {what}" for n, what in [*counts, (others, "other records")] if n)
