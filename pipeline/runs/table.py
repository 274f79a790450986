"""`gan runs`: trainings as a table in the terminal, or as JSON."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.columns import columns_of, fitting, images_seen
from pipeline.runs.evaluated import one_line
from pipeline.runs.find import Runs, digits_to_tell
from pipeline.runs.ranking import better, listed, metric_of
from pipeline.tracking.mlflow.reader import StoredRun

LOWER = ("alarm", "deviation", "gradient_norm", "loss", "system")
"""Groups of metrics of which less is better, or looked for."""

MOST_GROUPS = 4


def run(paths: Paths, *, by: str | None, most: int, columns: Sequence[str], as_json: bool) -> None:
    """Print trainings, the newest or (by a metric) the best first, at most `most`.

    columns: further metrics, parameters or tags. GanError if there are none, the store can't be
    asked, or a metric or column is unknown.
    """
    rows = Runs(paths).listed(most, by, lower=by is None or direction(by) == "lower")
    if by is not None and not any(by in row.metrics for row in rows):
        raise GanError(_unknown(by, "metric", _keys(rows, metrics_only=True)))
    for name in columns:
        if name not in (known := _keys(rows)):
            raise GanError(_unknown(name, "metric or parameter", known))
    if as_json:
        content = json.dumps([as_plain(row) for row in rows], indent=1, ensure_ascii=False)
        sys.stdout.write(content + "\n")
    else:
        show(rows, by, columns, Console())


def _keys(rows: Sequence[StoredRun], *, metrics_only: bool = False) -> list[str]:
    found: dict[str, None] = {}
    for row in rows:
        found |= dict.fromkeys(row.metrics)
        if not metrics_only:
            found |= dict.fromkeys([*row.params, *row.tags])
    return sorted(found)


def _unknown(name: str, kind: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    have = f"did you mean {', '.join(near)}?" if near else f"they have {listed(known)}"
    return f"{one_line(name)}: no training has such a {kind}; {have}"


def direction(key: str) -> str:
    """Which end of a metric comes first: `lower`, also where no value is better, or `higher`."""
    group, _, name = key.rpartition("/")
    if group.split("/")[0] in LOWER:
        return "lower"
    known = better(name)
    return known if known != "neither" else "lower" if metric_of(name) else "higher"


def as_plain(row: StoredRun) -> dict[str, Any]:
    """A row for programs; numbers that are none are null."""
    return {
        "run_id": row.run_id,
        "name": row.name,
        "experiment": row.experiment,
        "started": datetime.fromtimestamp(row.started / 1000, UTC).isoformat(timespec="seconds"),
        "status": row.status,
        "run_key": row.tags["run_key"],
        "images_seen": images_seen(row),
        "metrics": {k: v if math.isfinite(v) else None for k, v in sorted(row.metrics.items())},
        "params": dict(sorted(row.params.items())),
        "tags": dict(sorted(row.tags.items())),
    }


def show(
    rows: Sequence[StoredRun], by: str | None, asked: Sequence[str], console: Console
) -> None:
    """Print as many columns as the width takes; id, name and what was asked for always stay."""
    columns = fitting(columns_of(rows, by, asked), console.width)
    wide = sum(each.width + 1 for each in columns) - 1
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    for each in columns:
        table.add_column(
            Text(each.head),
            justify="left" if each.left else "right",
            min_width=each.width,
            max_width=each.width,
            overflow="fold",
        )
    for cells in zip(*(each.cells for each in columns), strict=True):
        table.add_row(*map(Text, cells))
    Console(file=console.file, width=max(console.width, wide)).print(table)
    shown = [each.head.replace("\n", "") for each in columns]
    for note in _notes(rows, by, shown):
        console.print(Text(note))


def _notes(rows: Sequence[StoredRun], by: str | None, shown: Sequence[str]) -> Iterator[str]:
    if by is not None:
        plain = better(by) == "neither" and by.split("/")[0] not in LOWER
        first = {"lower": "smallest", "higher": "largest"}[direction(by)]
        yield f"By {by}, {f'the {first} first' if plain else f'{direction(by)} is better'}."
    if same := _repeated(rows):
        yield f"The same training again (equal run keys): {same}."
    if mixed := [key for key in shown if len(set(_protocols(rows, key))) > 1]:
        yield f"By more than one protocol, see `gan compare`: {', '.join(mixed)}."


def _repeated(rows: Sequence[StoredRun]) -> str:
    digits = digits_to_tell(rows)
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.tags["run_key"], []).append(row.run_id[:digits])
    found = [" = ".join(ids) for ids in groups.values() if len(ids) > 1]
    rest = len(found) - MOST_GROUPS
    return ", ".join(found[:MOST_GROUPS]) + (f" and {rest} more" if rest > 0 else "")


def _protocols(rows: Sequence[StoredRun], key: str) -> Iterator[str]:
    for row in rows:
        try:
            named = json.loads(row.tags.get("protocols", "{}"))
        except ValueError:
            continue
        if isinstance(named, dict) and key in named:
            yield str(named[key])
