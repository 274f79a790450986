"""Ranking of evaluated runs by a metric, and reasons why runs can't be ranked."""

from collections.abc import Sequence
from dataclasses import dataclass

from gan.errors import GanError
from pipeline.console import list_first
from pipeline.runs.evaluated import EvaluatedRun
from pipeline.runs.metric_keys import (
    describe_nearest,
    direction_of,
    list_differences,
    read_key,
    sort_by_trust,
)

ALIKE = "no metric that all runs have; evaluate them with equal settings"


@dataclass(frozen=True)
class Place:
    """A run in a ranking. rank: 1 + the number of runs that are better beyond the deviations.

    ties: places (from 0) of the runs that differ by less than both deviations.
    """

    run: EvaluatedRun
    rank: int
    ties: tuple[int, ...]


@dataclass(frozen=True)
class Ranking:
    """Runs, the best first. others: further keys that all runs have by equal protocols.

    unequal: keys that all have, by different protocols.
    """

    key: str
    places: tuple[Place, ...]
    others: tuple[str, ...]
    unequal: tuple[str, ...]


def rank(runs: Sequence[EvaluatedRun], by: str | None = None, other_data: bool = False) -> Ranking:
    """Rank at least two runs by a metric, the most trusted common one if `by` is None.

    GanError if they have none in common, if it was measured by different protocols, or if the
    runs were trained on different data, unless `other_data`.
    """
    if len(runs) < 2:
        raise GanError("comparing takes at least two runs, files or folders; give more of them")
    common = sort_by_trust(set.intersection(*({*run.metrics} for run in runs)))
    key = _choose_key(runs, common, by)
    equal = [each for each in common if len({run.metrics[each].protocol for run in runs}) == 1]
    if key not in equal:
        raise GanError(_describe_protocols(runs, key, equal))
    if not other_data:
        _check_data(runs)
    return Ranking(
        key=key,
        places=_order(runs, key),
        others=tuple(each for each in equal if each != key),
        unequal=tuple(each for each in common if each not in equal),
    )


def _choose_key(runs: Sequence[EvaluatedRun], common: Sequence[str], by: str | None) -> str:
    trusted = [key for key in common if read_key(key).can_rank]
    if by is None and trusted:
        return trusted[0]
    wanted = by or next(iter(sort_by_trust(runs[0].metrics)), "any metric")
    if wanted not in common:
        without = [_describe_lack(run, wanted) for run in runs if wanted not in run.metrics]
        rest = f"all have {list_first(trusted)}" if trusted else ALIKE
        raise GanError(f"{wanted}: not measured for {', '.join(without)}; {rest}")
    if direction_of(wanted) == "neither":
        others = list_first(trusted) or "another metric"
        raise GanError(f"{wanted}: neither lower nor higher is better; rank by {others}")
    return wanted


def _describe_lack(run: EvaluatedRun, key: str) -> str:
    """Name a run without a metric, and the nearest metric that it has."""
    other = describe_nearest(key, run.metrics) or list_first(sort_by_trust(run.metrics))
    return f"{run.label}, which has {other or 'no metric'}"


def _describe_protocols(runs: Sequence[EvaluatedRun], key: str, equal: Sequence[str]) -> str:
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault(run.metrics[key].protocol, []).append(run)
    sides = " against ".join(
        f"{', '.join(run.label for run in group)} by {protocol}"
        for protocol, group in groups.items()
    )
    ranking = next((each for each in equal if read_key(each).can_rank), None)
    instead = f"; --by {ranking} compares" if ranking else ""
    parts = [group[0].metrics[key].protocol_parts for group in groups.values()]
    reasons = " and ".join(list_differences(parts)) or "extractor or real images"
    return (
        f"{key}: measured by different protocols ({sides}; they differ in {reasons}); evaluate "
        f"them alike with `gan evaluate`{instead}"
    )


def _check_data(runs: Sequence[EvaluatedRun]) -> None:
    known = [run for run in runs if run.cache_digest is not None]
    if len({run.cache_digest for run in known}) > 1:
        digests = ", ".join(f"{run.label}: {(run.cache_digest or '')[:12]}" for run in known)
        settings = list_first(list_differences([run.data_settings for run in known]))
        different = f", which differ in {settings}" if settings else ""
        raise GanError(
            f"trained on different data ({digests}){different}, though evaluated against "
            "the same; --other-data ranks them all the same"
        )


def _order(runs: Sequence[EvaluatedRun], key: str) -> tuple[Place, ...]:
    sign = -1 if direction_of(key) == "higher" else 1
    ordered = sorted(runs, key=lambda run: sign * run.metrics[key].value)
    ties = [
        tuple(j for j, other in enumerate(ordered) if j != i and not differ(run, other, key))
        for i, run in enumerate(ordered)
    ]
    return tuple(
        Place(run, 1 + sum(j not in ties[i] for j in range(i)), ties[i])
        for i, run in enumerate(ordered)
    )


def differ(run: EvaluatedRun, other: EvaluatedRun, key: str) -> bool:
    """Whether two values differ by more than both deviations; where one is unknown, at all."""
    a, b = run.metrics[key], other.metrics[key]
    if a.deviation is None or b.deviation is None:
        return a.value != b.value
    return abs(a.value - b.value) > a.deviation + b.deviation
