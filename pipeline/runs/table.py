"""`gan runs`: trainings as a table in the terminal, or as JSON."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from rich.console import Console
from rich.text import Text

from gan.errors import GanError
from pipeline.console import list_first, one_line, tell
from pipeline.evaluation.format_number import MISSING, count, figure
from pipeline.paths import Paths
from pipeline.runs.columns import Column, choose_columns, fold_head, print_table
from pipeline.runs.evaluated import read_protocols
from pipeline.runs.find import Runs, digits_of_ids
from pipeline.runs.metric_keys import direction_of, first_keys, read_key, sort_by_trust
from pipeline.tracking.mlflow.reader import StoredRun

LOWER = ("alarm", "deviation", "gradient_norm", "loss", "system")
"""Groups of metrics that are sorted in ascending order."""

GENERATOR, DISCRIMINATOR = "loss/generator", "loss/discriminator"
DVC_NAME = "dvc_exp_name"
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
    metrics = {key for each in runs for key in each.metrics}
    if by is not None and by not in metrics:
        raise GanError(_describe_unknown(by, "metric", sorted(metrics)))
    known = metrics | {key for each in runs for key in (*each.params, *each.tags)}
    for name in columns:
        if name not in known:
            raise GanError(_describe_unknown(name, "metric or parameter", sorted(known)))
    if as_json:
        tell(json.dumps([as_plain(each) for each in runs], indent=1, ensure_ascii=False))
    else:
        show(runs, by, columns, Console())


def _describe_unknown(name: str, kind: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    have = f"did you mean {', '.join(near)}?" if near else f"they have {list_first(known)}"
    return f"{one_line(name)}: no training has such a {kind}; {have}"


def sort_direction(key: str) -> str:
    """`lower` or `higher`: values that come first, also where none is better."""
    group, _, name = key.rpartition("/")
    direction = direction_of(name)
    if group.split("/")[0] in LOWER or direction == "lower":
        return "lower"
    return "lower" if direction == "neither" and read_key(name).aspects else "higher"


def as_plain(run: StoredRun) -> dict[str, Any]:
    """Return a run for programs; metrics that are not finite are null."""
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


def show(
    runs: Sequence[StoredRun], by: str | None, asked: Sequence[str], console: Console
) -> None:
    """Print as many columns as fit; id, name and what was asked for always stay."""
    columns = choose_columns(all_columns(runs, by, asked), console.width)
    print_table(columns, console)
    heads = [each.head.replace("\n", "") for each in columns]
    for note in _notes(runs, by, heads):
        console.print(Text(note))


def all_columns(runs: Sequence[StoredRun], by: str | None, asked: Sequence[str]) -> list[Column]:
    """Compose every column in the order of the table; `by` and `asked` have rank 0."""
    digits = digits_of_ids(runs)
    facts = [
        Column("id", [run.run_id[:digits] for run in runs], left=True),
        Column("name", [one_line(run.name) for run in runs], left=True, name=True),
        Column("started", [_format_start(run) for run in runs], 3, left=True),
        Column(
            "status", [run.status.lower().replace("finished", "done") for run in runs], 4, True
        ),
        Column("images", [count(images_seen(run)) for run in runs], 2),
        Column("G", [figure(run.metrics.get(GENERATOR)) for run in runs], 5),
        Column("D", [figure(run.metrics.get(DISCRIMINATOR)) for run in runs], 5),
    ]
    wanted = list(dict.fromkeys(key for key in (by, *asked) if key))
    others = [key for key in metrics_to_show(runs) if key not in wanted]
    ranks = dict.fromkeys(wanted, 0) | {key: 7 + i for i, key in enumerate(others)}
    if others and not wanted:
        ranks[others[0]] = 1
    metrics = [
        Column(fold_head(key), [_format_value(run, key) for run in runs], rank)
        for key, rank in ranks.items()
    ]
    names = [one_line(run.tags.get(DVC_NAME, "")) for run in runs]
    experiment = [Column("dvc exp", names, 6, left=True)] if any(names) else []
    return [*facts, *metrics, *experiment]


def metrics_to_show(runs: Sequence[StoredRun]) -> list[str]:
    """List metrics that can rank, one of each chief number first.

    Those of most runs come before others, then the more trusted.
    """
    counts = Counter(key for run in runs for key in run.metrics if read_key(key).can_rank)
    many = max(counts.values(), default=0) / 2
    keys = sorted(sort_by_trust(counts), key=lambda key: counts[key] < many)
    return list(dict.fromkeys([*first_keys(keys), *keys]))


def _format_value(run: StoredRun, key: str) -> str:
    if key in run.metrics:
        return figure(run.metrics[key], run.metrics.get(f"deviation/{key}"))
    return one_line(run.params.get(key, run.tags.get(key, MISSING)))


def _format_start(run: StoredRun) -> str:
    """Format month, day and time in this year, the day in others."""
    when = datetime.fromtimestamp(run.started / 1000)
    this_year = when.year == datetime.now().year
    return when.strftime("%m-%d %H:%M" if this_year else "%Y-%m-%d")


def _notes(runs: Sequence[StoredRun], by: str | None, keys: Sequence[str]) -> Iterator[str]:
    if by is not None:
        direction = sort_direction(by)
        ranks = direction_of(by) != "neither" or by.split("/")[0] in LOWER
        first = "the smallest first" if direction == "lower" else "the largest first"
        yield f"By {by}, {f'{direction} is better' if ranks else first}."
    digits = digits_of_ids(runs)
    groups: dict[str, list[str]] = {}
    for run in runs:
        groups.setdefault(run.tags["run_key"], []).append(run.run_id[:digits])
    if repeated := [" = ".join(ids) for ids in groups.values() if len(ids) > 1]:
        alike = list_first(repeated, MOST_GROUPS)
        yield f"The same training again (equal run keys): {alike}."
    protocols = [read_protocols(run) or {} for run in runs]
    mixed = [key for key in keys if len({each[key] for each in protocols if key in each}) > 1]
    if mixed:
        yield f"By more than one protocol, see `gan compare`: {', '.join(mixed)}."
