"""`gan runs`: trainings as a table in the terminal, or as JSON."""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan.errors import GanError
from pipeline.console import list_first, one_line
from pipeline.evaluation.format_number import MISSING, figure
from pipeline.paths import Paths
from pipeline.runs.find import Runs, digits_of_ids
from pipeline.runs.metric_keys import TRUST, direction_of, metric_of, trust_order
from pipeline.runs.ranking import first_keys
from pipeline.tracking.mlflow.reader import StoredRun

LOWER = ("alarm", "deviation", "gradient_norm", "loss", "system")
"""Groups of metrics that are sorted in ascending order."""

GENERATOR, DISCRIMINATOR = "loss/generator", "loss/discriminator"
DVC_NAME = "dvc_exp_name"
STATUS = {"FINISHED": "done"}  # others in MLflow's words
WIDEST_NAME = 24  # cells; a longer one continues in the next line
WIDEST_HEAD = 9
MOST_GROUPS = 4


def run(
    paths: Paths, *, by: str | None, limit: int, columns: Sequence[str], as_json: bool
) -> None:
    """Print trainings, the newest or (by a metric) the best first, at most `limit`.

    columns: further metrics, parameters or tags. GanError if there are none, the store can't be
    read, or a metric or column is unknown.
    """
    lower_first = by is None or sort_direction(by) == "lower"
    runs = Runs(paths).list_trainings(limit, by, lower_first=lower_first)
    if by is not None and not any(by in each.metrics for each in runs):
        raise GanError(_describe_unknown(by, "metric", _keys(runs, metrics_only=True)))
    for name in columns:
        if name not in (known := _keys(runs)):
            raise GanError(_describe_unknown(name, "metric or parameter", known))
    if as_json:
        content = json.dumps([as_plain(each) for each in runs], indent=1, ensure_ascii=False)
        sys.stdout.write(content + "\n")
    else:
        show(runs, by, columns, Console())


def _keys(runs: Sequence[StoredRun], *, metrics_only: bool = False) -> list[str]:
    keys: set[str] = set()
    for each in runs:
        keys |= {*each.metrics} if metrics_only else {*each.metrics, *each.params, *each.tags}
    return sorted(keys)


def _describe_unknown(name: str, kind: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    have = f"did you mean {', '.join(near)}?" if near else f"they have {list_first(known)}"
    return f"{one_line(name)}: no training has such a {kind}; {have}"


def sort_direction(key: str) -> str:
    """`lower` or `higher`: values that come first, also where none is better."""
    group, _, name = key.rpartition("/")
    if group.split("/")[0] in LOWER:
        return "lower"
    direction = direction_of(name)
    return direction if direction != "neither" else "lower" if metric_of(name) else "higher"


def as_plain(run: StoredRun) -> dict[str, Any]:
    """A run for programs; metrics that are not finite are null."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "started": datetime.fromtimestamp(run.started / 1000, UTC).isoformat(timespec="seconds"),
        "status": run.status,
        "run_key": run.tags["run_key"],
        "images_seen": images_seen(run),
        "metrics": {k: v if math.isfinite(v) else None for k, v in sorted(run.metrics.items())},
        "params": dict(sorted(run.params.items())),
        "tags": dict(sorted(run.tags.items())),
    }


def images_seen(run: StoredRun) -> int | None:
    """Step of the last loss; None if the run logged none."""
    return run.steps.get(GENERATOR, run.steps.get(DISCRIMINATOR))


# columns


@dataclass(frozen=True)
class Column:
    """A column of the table. rank: where the width is too small, the greatest is dropped first."""

    head: str
    cells: Sequence[str]
    rank: int
    left: bool = False

    @property
    def width(self) -> int:
        """In cells of the terminal."""
        widest = max(cell_len(text) for text in (*self.head.split("\n"), *self.cells))
        return min(widest, WIDEST_NAME) if self.head == "name" else widest


def choose_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit beside each other, in their order; those of rank 0 in any case."""
    chosen: list[int] = []
    room = width + 1
    for i in sorted(range(len(columns)), key=lambda i: columns[i].rank):
        if columns[i].rank == 0 or columns[i].width < room:
            chosen.append(i)
            room -= columns[i].width + 1
    return [columns[i] for i in sorted(chosen)]


def all_columns(runs: Sequence[StoredRun], by: str | None, asked: Sequence[str]) -> list[Column]:
    """Every column in the order of the table; `by` and `asked` have rank 0."""
    digits = digits_of_ids(runs)
    wanted = [key for key in (by, *asked) if key]
    facts = [
        Column("id", [run.run_id[:digits] for run in runs], 0, left=True),
        Column("name", [one_line(run.name) for run in runs], 0, left=True),
        Column("started", [_format_start(run) for run in runs], 3, left=True),
        Column("status", [STATUS.get(run.status, run.status.lower()) for run in runs], 4, True),
        Column("images", [_shorten(images_seen(run)) for run in runs], 2),
        Column("G", [_format_loss(run, GENERATOR) for run in runs], 5),
        Column("D", [_format_loss(run, DISCRIMINATOR) for run in runs], 5),
    ]
    wanted_columns = [_column(runs, key, 0) for key in dict.fromkeys(wanted)]
    others = [key for key in metrics_to_show(runs) if key not in wanted]
    metrics = [_column(runs, key, 7 + i if i or wanted else 1) for i, key in enumerate(others)]
    names = [one_line(run.tags.get(DVC_NAME, "")) for run in runs]
    experiment = [Column("dvc exp", names, 6, left=True)] if any(names) else []
    return [*facts, *wanted_columns, *metrics, *experiment]


def metrics_to_show(runs: Sequence[StoredRun]) -> list[str]:
    """Metrics that can rank, one of each chief metric first; those of most runs come before
    others, then the more trusted."""
    counts = Counter(
        key
        for run in runs
        for key in run.metrics
        if metric_of(key) in TRUST and direction_of(key) != "neither"
    )
    many = max(counts.values(), default=0) / 2
    keys = sorted(counts, key=lambda key: (counts[key] < many, trust_order(key)))
    return list(dict.fromkeys([*first_keys(keys), *keys]))


def _column(runs: Sequence[StoredRun], key: str, rank: int) -> Column:
    return Column(_fold(key), [_format_value(run, key) for run in runs], rank)


def _fold(key: str) -> str:
    """A long name in two lines or more, cut after `_`, `/` or `.`."""
    lines = [""]
    for part in _parts(key):
        if lines[-1] and len(lines[-1] + part) > WIDEST_HEAD:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _parts(key: str) -> Iterator[str]:
    start = 0
    for i, sign in enumerate(key, start=1):
        if sign in "_/." or i == len(key):
            yield key[start:i]
            start = i


def _format_value(run: StoredRun, key: str) -> str:
    if key in run.metrics:
        return figure(run.metrics[key], run.metrics.get(f"deviation/{key}"))
    return one_line(run.params.get(key, run.tags.get(key, MISSING)))


def _format_loss(run: StoredRun, key: str) -> str:
    value = run.metrics.get(key)
    return MISSING if value is None else f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _shorten(number: int | None) -> str:
    """12800 as 12.8k."""
    if number is None:
        return MISSING
    for size, name in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.4g}{name}"
    return str(number)


def _format_start(run: StoredRun) -> str:
    """Month, day and time in this year, the day in others."""
    when = datetime.fromtimestamp(run.started / 1000)
    this_year = when.year == datetime.now().year
    return when.strftime("%m-%d %H:%M" if this_year else "%Y-%m-%d")


# the table


def show(
    runs: Sequence[StoredRun], by: str | None, asked: Sequence[str], console: Console
) -> None:
    """Print as many columns as fit; id, name and what was asked for always stay."""
    columns = choose_columns(all_columns(runs, by, asked), console.width)
    width = sum(each.width + 1 for each in columns) - 1
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
    Console(file=console.file, width=max(console.width, width)).print(table)
    heads = [each.head.replace("\n", "") for each in columns]
    for note in _notes(runs, by, heads):
        console.print(Text(note))


def _notes(runs: Sequence[StoredRun], by: str | None, keys: Sequence[str]) -> Iterator[str]:
    if by is not None:
        ranks = direction_of(by) != "neither" or by.split("/")[0] in LOWER
        first = {"lower": "smallest", "higher": "largest"}[sort_direction(by)]
        yield f"By {by}, {f'{sort_direction(by)} is better' if ranks else f'the {first} first'}."
    if repeated := _list_repeated(runs):
        yield f"The same training again (equal run keys): {repeated}."
    if mixed := [key for key in keys if len(set(_protocols(runs, key))) > 1]:
        yield f"By more than one protocol, see `gan compare`: {', '.join(mixed)}."


def _list_repeated(runs: Sequence[StoredRun]) -> str:
    digits = digits_of_ids(runs)
    groups: dict[str, list[str]] = {}
    for run in runs:
        groups.setdefault(run.tags["run_key"], []).append(run.run_id[:digits])
    repeated = [" = ".join(ids) for ids in groups.values() if len(ids) > 1]
    return list_first(repeated, MOST_GROUPS)


def _protocols(runs: Sequence[StoredRun], key: str) -> Iterator[str]:
    for run in runs:
        try:
            protocols = json.loads(run.tags.get("protocols", "{}"))
        except ValueError:
            continue
        if isinstance(protocols, dict) and key in protocols:
            yield str(protocols[key])
