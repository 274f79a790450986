"""`gan compare`: runs ranked in a table, or as JSON."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.console import warn
from pipeline.evaluation.format_number import count, figure
from pipeline.paths import Paths
from pipeline.runs.evaluated import Evaluated, Number
from pipeline.runs.find import Runs
from pipeline.runs.ranking import Place, Ranking, better, few, listed, rank

ARROWS = {"lower": "\N{DOWNWARDS ARROW}", "higher": "\N{UPWARDS ARROW}", "neither": ""}
EDGES = 3  # columns that a cell's border and padding take
MOST_PAIRS = 6
SPREAD = (
    "\N{PLUS-MINUS SIGN}: standard deviation over latent seeds of one checkpoint; another "
    "training seed may move a number further."
)


def run(
    given: Sequence[str],
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
    ranking = rank(_no_run_twice([runs.evaluated(each) for each in given]), by, other_data)
    if as_json:
        content = json.dumps(as_plain(ranking), indent=1, ensure_ascii=False)
        sys.stdout.write(content + "\n")
    else:
        show(ranking, ranking.others if every else few(ranking), Console())


def _no_run_twice(runs: Sequence[Evaluated]) -> list[Evaluated]:
    kept: dict[str, Evaluated] = {}
    for each in runs:
        if each.where in kept:
            warn(f"{each.label} is named twice; it counts once")
        kept.setdefault(each.where, each)
    return list(kept.values())


def as_plain(ranking: Ranking) -> dict[str, Any]:
    """A ranking for programs; `not_told_apart` counts the runs from 0."""
    keys = [ranking.key, *ranking.others]
    return {
        "by": ranking.key,
        "better": ranking.better,
        "runs": [
            {
                "rank": place.rank,
                "not_told_apart": list(place.near),
                **{name: getattr(place.run, name) for name in FACTS},
                "metrics": {key: _plain(place.run.metrics[key]) for key in keys},
            }
            for place in ranking.places
        ],
        "different_protocols": list(ranking.apart),
        "notes": list(notes(ranking)),
    }


FACTS = ("name", "where", "run_id", "run_key", "cache_digest", "objective", "images_seen")


def _plain(number: Number) -> dict[str, Any]:
    return {
        "value": number.value,
        "deviation": number.deviation,
        "protocol": number.protocol,
    }


def show(ranking: Ranking, keys: Sequence[str], console: Console) -> None:
    """Print the ranking, then `keys` with a column a run, in as many tables as the width asks."""
    console.print(_ranked(ranking))
    step = _runs_beside(ranking, keys, console.width)
    for first in range(0, len(ranking.places) if keys else 0, step):
        console.print(_further(ranking, keys, first, first + step))
    for note in notes(ranking):
        console.print(Text(note))
    hidden = len(ranking.others) - len(keys)
    if hidden > 0:
        console.print(f"Further metrics with --all: {hidden}.")


def _ranked(ranking: Ranking) -> Table:
    title = f"{ranking.key}, {ranking.better} is better"
    table = Table(title=title, title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("")
    table.add_column("run", overflow="fold")
    table.add_column("objective")
    table.add_column("images seen", justify="right")
    table.add_column("value", justify="right", no_wrap=True)
    for i, place in enumerate(ranking.places):
        row = place.run
        value = _cell(row.metrics[ranking.key])
        facts = (Text(row.label), row.objective or "-", count(row.images_seen))
        table.add_row(place.shown, letters(i), *facts, value)
    return table


def _runs_beside(ranking: Ranking, keys: Sequence[str], width: int) -> int:
    """How many columns of values fit beside the keys."""
    cells = (_cell(place.run.metrics[key]) for place in ranking.places for key in keys)
    widest = max(map(len, cells), default=1)
    longest = max((len(_head(key)) for key in keys), default=0)
    return max(1, (width - longest - EDGES - 1) // (widest + EDGES))


def _further(ranking: Ranking, keys: Sequence[str], first: int, last: int) -> Table:
    table = Table()
    table.add_column("")
    shown: Sequence[Place] = ranking.places[first:last]
    for i, _ in enumerate(shown, start=first):
        table.add_column(letters(i), justify="right", no_wrap=True)
    for key in keys:
        table.add_row(_head(key), *(_cell(place.run.metrics[key]) for place in shown))
    return table


def _head(key: str) -> str:
    return f"{key} {ARROWS[better(key)]}".rstrip()


def _cell(number: Number) -> str:
    value = figure(number.value, number.deviation)
    if number.deviation is None:
        return value
    return f"{value} \N{PLUS-MINUS SIGN} {figure(number.deviation, number.deviation)}"


def letters(index: int) -> str:
    """A to Z, then AA: what a table calls its runs."""
    rest, last = divmod(index, 26)
    return (letters(rest - 1) if rest else "") + chr(ord("A") + last)


def notes(ranking: Ranking) -> Iterator[str]:
    """What a reader must know to believe the order, a sentence or two each."""
    if pairs := _pairs(ranking):
        yield f"Not told apart, they differ by less than both deviations: {pairs}."
    if ranking.unsure:
        names = listed([run.label for run in ranking.unsure])
        yield f"One set of fakes only, so that small differences may be chance: {names}."
    if len(ranking.unsure) < len(ranking.places):
        yield SPREAD
    if ranking.apart:
        yield f"Not shown, measured by different protocols: {', '.join(ranking.apart)}."


def _pairs(ranking: Ranking) -> str:
    """The pairs by their letters."""
    near = [
        f"{letters(i)} and {letters(j)}"
        for i, j in combinations(range(len(ranking.places)), 2)
        if j in ranking.places[i].near
    ]
    rest = len(near) - MOST_PAIRS
    return ", ".join(near[:MOST_PAIRS]) + (f" and {rest} more pairs" if rest > 0 else "")
