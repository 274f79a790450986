"""`gan compare`: runs ranked in a table, or as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.console import list_first, tell, warn
from pipeline.evaluation.format_number import count, figure
from pipeline.paths import Paths
from pipeline.runs.columns import WIDEST_HEAD, Column, choose_columns, fold_head, print_table
from pipeline.runs.evaluated import EvaluatedRun, MetricValue
from pipeline.runs.find import Runs
from pipeline.runs.metric_keys import direction_of, first_keys
from pipeline.runs.ranking import Ranking, rank

ARROWS = {"lower": " \N{DOWNWARDS ARROW}", "higher": " \N{UPWARDS ARROW}", "neither": ""}
FACTS = ("name", "where", "run_id", "run_key", "cache_digest", "objective", "images_seen")
VALUES = ("value", "deviation", "protocol")
MOST_PAIRS = 6


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
        tell(json.dumps(as_plain(ranking), indent=1, ensure_ascii=False))
    else:
        show(ranking, ranking.others if every else first_keys(ranking.others), Console())


def _drop_repeated(runs: Sequence[EvaluatedRun]) -> list[EvaluatedRun]:
    unique: dict[str, EvaluatedRun] = {}
    for each in runs:
        if each.where in unique:
            warn(f"{each.label} is named twice; it counts once")
        unique.setdefault(each.where, each)
    return list(unique.values())


def as_plain(ranking: Ranking) -> dict[str, Any]:
    """Return a ranking for programs; `not_told_apart` numbers the runs from 0."""
    keys = [ranking.key, *ranking.others]
    return {
        "by": ranking.key,
        "better": direction_of(ranking.key),
        "runs": [
            {
                "rank": place.rank,
                "not_told_apart": list(place.ties),
                **{name: getattr(place.run, name) for name in FACTS},
                "metrics": {
                    key: {name: getattr(place.run.metrics[key], name) for name in VALUES}
                    for key in keys
                },
            }
            for place in ranking.places
        ],
        "different_protocols": list(ranking.unequal),
        "notes": list(notes(ranking)),
    }


def show(ranking: Ranking, keys: Sequence[str], console: Console) -> None:
    """Print the ranking with further metrics `keys`, below each other where the width asks."""
    runs = [place.run for place in ranking.places]
    names = Column("run", [run.label for run in runs], left=True, name=True)
    columns = [
        Column("rank", [f"{each.rank}{'=' if each.ties else ''}" for each in ranking.places]),
        names,
        _metric_column(ranking.key, runs),
        Column("objective", [run.objective or "-" for run in runs], 1, left=True),
        Column("images\nseen", [count(run.images_seen) for run in runs], 1),
        *(replace(_metric_column(key, runs), rank=2) for key in keys),
    ]
    console.print(f"By {ranking.key}, {direction_of(ranking.key)} is better.")
    while columns:
        chosen = choose_columns(columns, console.width)
        print_table(chosen, console)
        console.print()
        rest = [each for each in columns if each not in chosen]
        columns = [names, replace(rest[0], rank=0), *rest[1:]] if rest else []
    for note in notes(ranking):
        console.print(Text(note))
    hidden = len(ranking.others) - len(keys)
    if hidden > 0:
        console.print(f"Further metrics with --all: {hidden}.")


def _metric_column(key: str, runs: Sequence[EvaluatedRun]) -> Column:
    cells = [_cell(run.metrics[key]) for run in runs]
    width = max(WIDEST_HEAD, *map(len, cells))
    return Column(fold_head(key, width) + ARROWS[direction_of(key)], cells)


def _cell(metric: MetricValue) -> str:
    value = figure(metric.value, metric.deviation)
    if metric.deviation is None:
        return value
    return f"{value} \N{PLUS-MINUS SIGN} {figure(metric.deviation, metric.deviation)}"


def notes(ranking: Ranking) -> Iterator[str]:
    """Yield limits of the ranking, a sentence or two each."""
    places = ranking.places
    pairs = [
        f"{places[i].run.label} and {places[j].run.label}"
        for i, j in combinations(range(len(places)), 2)
        if j in places[i].ties
    ]
    if pairs:
        ties = list_first(pairs, MOST_PAIRS)
        yield f"Ties, since they differ by less than both deviations: {ties}."
    single = [each.run.label for each in places if each.run.metrics[ranking.key].deviation is None]
    if single:
        yield (
            "Evaluated with one latent seed only, so small differences may be chance: "
            f"{list_first(single)}."
        )
    if len(single) < len(places):
        yield (
            "\N{PLUS-MINUS SIGN}: standard deviation over latent seeds of one checkpoint; another "
            "training seed may move a number further."
        )
    if ranking.unequal:
        yield f"Not shown, measured by different protocols: {', '.join(ranking.unequal)}."
