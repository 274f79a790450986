"""Which columns `gan runs` shows, what is in them, and which of them the width takes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len

from pipeline.evaluation.format_number import MISSING, figure
from pipeline.runs.evaluated import one_line
from pipeline.runs.find import digits_to_tell
from pipeline.runs.ranking import FEW, TRUST, better, metric_of, trust
from pipeline.tracking.mlflow.reader import StoredRun

GENERATOR, DISCRIMINATOR = "loss/generator", "loss/discriminator"
DVC_NAME = "dvc_exp_name"
STATUS = {"FINISHED": "done"}  # others in MLflow's words
WIDEST_NAME = 24  # cells; a longer one goes on below
WIDEST_HEAD = 9


@dataclass(frozen=True)
class Column:
    """A column as it is shown. rank: the greatest goes first where the width doesn't do."""

    head: str
    cells: Sequence[str]
    rank: int
    left: bool = False

    @property
    def width(self) -> int:
        """In cells of the terminal."""
        widest = max(cell_len(text) for text in (*self.head.split("\n"), *self.cells))
        return min(widest, WIDEST_NAME) if self.head == "name" else widest


def images_seen(row: StoredRun) -> int | None:
    """How far a training came, by its last loss; None if it logged none."""
    return row.steps.get(GENERATOR, row.steps.get(DISCRIMINATOR))


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Those that stand beside each other, in their order; those of rank 0 in any case."""
    kept: list[int] = []
    room = width + 1
    for i in sorted(range(len(columns)), key=lambda i: columns[i].rank):
        if columns[i].rank == 0 or columns[i].width < room:
            kept.append(i)
            room -= columns[i].width + 1
    return [columns[i] for i in sorted(kept)]


def columns_of(rows: Sequence[StoredRun], by: str | None, asked: Sequence[str]) -> list[Column]:
    """All that there are, in the order of the table; `by` and `asked` are of rank 0."""
    digits = digits_to_tell(rows)
    chosen = [key for key in (by, *asked) if key]
    facts = [
        Column("id", [row.run_id[:digits] for row in rows], 0, left=True),
        Column("name", [one_line(row.name) for row in rows], 0, left=True),
        Column("started", [_started(row) for row in rows], 3, left=True),
        Column("status", [STATUS.get(row.status, row.status.lower()) for row in rows], 4, True),
        Column("images", [_short(images_seen(row)) for row in rows], 2),
        Column("G", [_loss(row, GENERATOR) for row in rows], 5),
        Column("D", [_loss(row, DISCRIMINATOR) for row in rows], 5),
    ]
    asked_for = [_named(rows, key, 0) for key in dict.fromkeys(chosen)]
    found = [key for key in measured(rows) if key not in chosen]
    metrics = [_named(rows, key, 7 + i if i or chosen else 1) for i, key in enumerate(found)]
    names = [one_line(row.tags.get(DVC_NAME, "")) for row in rows]
    experiment = [Column("dvc exp", names, 6, left=True)] if any(names) else []
    return [*facts, *asked_for, *metrics, *experiment]


def measured(rows: Sequence[StoredRun]) -> list[str]:
    """Metrics with a better end, first one of each kind; what most rows have, then the trusted."""
    counts = Counter(
        key
        for row in rows
        for key in row.metrics
        if metric_of(key) in TRUST and better(key) != "neither"
    )
    many = max(counts.values(), default=0) / 2
    keys = sorted(counts, key=lambda key: (counts[key] < many, trust(key)))
    firsts = [next((key for key in keys if metric_of(key) == kind), None) for kind in FEW]
    return list(dict.fromkeys([*(key for key in firsts if key), *keys]))


def _named(rows: Sequence[StoredRun], key: str, rank: int) -> Column:
    return Column(_folded(key), [_value(row, key) for row in rows], rank)


def _folded(key: str) -> str:
    """A long name in two lines or more, cut behind `_`, `/` or `.`."""
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


def _value(row: StoredRun, key: str) -> str:
    if key in row.metrics:
        return figure(row.metrics[key], row.metrics.get(f"deviation/{key}"))
    return one_line(row.params.get(key, row.tags.get(key, MISSING)))


def _loss(row: StoredRun, key: str) -> str:
    value = row.metrics.get(key)
    return MISSING if value is None else f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _short(number: int | None) -> str:
    """12800 as 12.8k."""
    if number is None:
        return MISSING
    for size, name in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.4g}{name}"
    return str(number)


def _started(row: StoredRun) -> str:
    """Month, day and time of this year's, the day of others."""
    when = datetime.fromtimestamp(row.started / 1000)
    this_year = when.year == datetime.now().year
    return when.strftime("%m-%d %H:%M" if this_year else "%Y-%m-%d")
