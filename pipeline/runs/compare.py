"""`gan compare`: runs ranked in a table, or as JSON."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.console import list_first, warn
from pipeline.evaluation.format_number import count, figure
from pipeline.paths import Paths
from pipeline.runs.evaluated import EvaluatedRun, MetricValue
from pipeline.runs.find import Runs
from pipeline.runs.metric_keys import direction_of
from pipeline.runs.ranking import Ranking, rank

ARROWS = {"lower": "\N{DOWNWARDS ARROW}", "higher": "\N{UPWARDS ARROW}", "neither": ""}
EDGES = 3  # columns that a cell's border and padding take
MOST_PAIRS = 6
FACTS = ("name", "where", "run_id", "run_key", "cache_digest", "objective", "images_seen")
DEVIATION = (
    "\N{PLUS-MINUS SIGN}: standard deviation over latent seeds of one checkpoint; another "
    "training seed may move a number further."
)


def run(
    names: Sequence[str],
    paths: Paths,
    *,
    by: str | None = None,
    every: bool = False,
    as_json: bool = False,
    other_data: bool = False,
) -> None:
    """Print the runs, the best first; `every`: with all metrics that they have in common.

    GanError if a run can't be found or they can't be compared, see `Runs` and `rank`.
    """
    runs = Runs(paths)
    ranking = rank(_drop_repeated([runs.find_evaluated(name) for name in names]), by, other_data)
    if as_json:
        content = json.dumps(as_plain(ranking), indent=1, ensure_ascii=False)
        sys.stdout.write(content + "\n")
    else:
        show(ranking, ranking.others if every else ranking.chief, Console())


def _drop_repeated(runs: Sequence[EvaluatedRun]) -> list[EvaluatedRun]:
    unique: dict[str, EvaluatedRun] = {}
    for each in runs:
        if each.where in unique:
            warn(f"{each.label} is named twice; it counts once")
        unique.setdefault(each.where, each)
    return list(unique.values())


def as_plain(ranking: Ranking) -> dict[str, Any]:
    """A ranking for programs; `not_told_apart` numbers the runs from 0."""
    keys = [ranking.key, *ranking.others]
    return {
        "by": ranking.key,
        "better": ranking.better,
        "runs": [
            {
                "rank": place.rank,
                "not_told_apart": list(place.ties),
                **{name: getattr(place.run, name) for name in FACTS},
                "metrics": {key: _as_plain(place.run.metrics[key]) for key in keys},
            }
            for place in ranking.places
        ],
        "different_protocols": list(ranking.unequal),
        "notes": list(notes(ranking)),
    }


def _as_plain(metric: MetricValue) -> dict[str, Any]:
    return {
        "value": metric.value,
        "deviation": metric.deviation,
        "protocol": metric.protocol,
    }


def show(ranking: Ranking, keys: Sequence[str], console: Console) -> None:
    """Print the ranking, then tables of `keys` with a column a run, as many as the width asks."""
    console.print(_ranking_table(ranking))
    step = _columns_that_fit(ranking, keys, console.width)
    for first in range(0, len(ranking.places) if keys else 0, step):
        console.print(_metrics_table(ranking, keys, first, first + step))
    for note in notes(ranking):
        console.print(Text(note))
    hidden = len(ranking.others) - len(keys)
    if hidden > 0:
        console.print(f"Further metrics with --all: {hidden}.")


def _ranking_table(ranking: Ranking) -> Table:
    title = f"{ranking.key}, {ranking.better} is better"
    table = Table(title=title, title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("")
    table.add_column("run", overflow="fold")
    table.add_column("objective")
    table.add_column("images seen", justify="right")
    table.add_column("value", justify="right", no_wrap=True)
    for i, place in enumerate(ranking.places):
        run = place.run
        facts = (Text(run.label), run.objective or "-", count(run.images_seen))
        table.add_row(place.label, letters(i), *facts, _cell(run.metrics[ranking.key]))
    return table


def _columns_that_fit(ranking: Ranking, keys: Sequence[str], width: int) -> int:
    cells = (_cell(place.run.metrics[key]) for place in ranking.places for key in keys)
    widest = max(map(len, cells), default=1)
    longest = max((len(_head(key)) for key in keys), default=0)
    return max(1, (width - longest - EDGES - 1) // (widest + EDGES))


def _metrics_table(ranking: Ranking, keys: Sequence[str], first: int, last: int) -> Table:
    places = ranking.places[first:last]
    table = Table()
    table.add_column("")
    for i, _ in enumerate(places, start=first):
        table.add_column(letters(i), justify="right", no_wrap=True)
    for key in keys:
        table.add_row(_head(key), *(_cell(place.run.metrics[key]) for place in places))
    return table


def _head(key: str) -> str:
    return f"{key} {ARROWS[direction_of(key)]}".rstrip()


def _cell(metric: MetricValue) -> str:
    value = figure(metric.value, metric.deviation)
    if metric.deviation is None:
        return value
    return f"{value} \N{PLUS-MINUS SIGN} {figure(metric.deviation, metric.deviation)}"


def letters(index: int) -> str:
    """A to Z, then AA: names of the runs in the tables."""
    rest, last = divmod(index, 26)
    return (letters(rest - 1) if rest else "") + chr(ord("A") + last)


def notes(ranking: Ranking) -> Iterator[str]:
    """Limits of the ranking, a sentence or two each."""
    if pairs := _list_ties(ranking):
        yield f"Ties, since they differ by less than both deviations: {pairs}."
    if ranking.without_deviation:
        labels = list_first([run.label for run in ranking.without_deviation])
        yield f"Evaluated with one latent seed only, so small differences may be chance: {labels}."
    if len(ranking.without_deviation) < len(ranking.places):
        yield DEVIATION
    if ranking.unequal:
        yield f"Not shown, measured by different protocols: {', '.join(ranking.unequal)}."


def _list_ties(ranking: Ranking) -> str:
    """Pairs of runs by their letters."""
    pairs = [
        f"{letters(i)} and {letters(j)}"
        for i, j in combinations(range(len(ranking.places)), 2)
        if j in ranking.places[i].ties
    ]
    return list_first(pairs, MOST_PAIRS)
