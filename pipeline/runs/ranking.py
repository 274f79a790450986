"""Which of several evaluated runs is better, and when that can't be said."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gan.errors import GanError
from gan.metrics.metric_names import KEY_PREFIXES
from pipeline.evaluation.metric_texts import MEANINGS, Better
from pipeline.runs.evaluated import Evaluated
from pipeline.runs.metric_name_parts import COUNT, nearest

NAMES = {
    name: metric for metric in MEANINGS for name in KEY_PREFIXES.get(metric, (metric,))
}  # what keys begin with

TRUST = ("frechet", "infinity", "kernel", "coverage", "density", "precision", "recall", "score")
"""Metrics to rank by, the one to believe first; within each Inception's, see `trust`."""

FEW = ("frechet", "infinity", "kernel", "precision", "recall", "coverage")
"""Metrics of which one key each is shown beside the one that ranks."""

DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_LISTED = 4


@dataclass(frozen=True)
class Place:
    """rank: 1 and the number of runs told apart to be better. near: places not told apart."""

    run: Evaluated
    rank: int
    near: tuple[int, ...]

    @property
    def shown(self) -> str:
        return f"{self.rank}=" if self.near else str(self.rank)


@dataclass(frozen=True)
class Ranking:
    """Runs, the best first. others: further keys that all have and that compare.

    apart: keys that all have but by different protocols. unsure: runs without a deviation.
    """

    key: str
    better: Better
    places: tuple[Place, ...]
    others: tuple[str, ...]
    apart: tuple[str, ...]
    unsure: tuple[Evaluated, ...]


def rank(runs: Sequence[Evaluated], by: str | None = None, other_data: bool = False) -> Ranking:
    """Rank at least two runs by a metric, the most trusted common one if `by` is None.

    GanError if they have none in common, if it was measured by different protocols, or if the
    runs learned from different data, unless `other_data`.
    """
    if len(runs) < 2:
        raise GanError("comparing takes at least two runs, files or folders; give more of them")
    common = sorted(set.intersection(*({*run.metrics} for run in runs)), key=trust)
    key = _chosen(runs, common, by)
    same = [each for each in common if len(_by_protocol(runs, each)) == 1]
    if key not in same:
        raise GanError(_different(runs, key, [each for each in same if _ranks(each)]))
    if not other_data:
        _check_data(runs)
    return Ranking(
        key=key,
        better=better(key),
        places=_places(runs, key),
        others=tuple(each for each in same if each != key),
        apart=tuple(each for each in common if each not in same),
        unsure=tuple(run for run in runs if run.metrics[key].deviation is None),
    )


def metric_of(key: str) -> str:
    """Which metric a key is of, "" for none that is known."""
    fitting = [name for name in NAMES if key.startswith(f"{name}_")]
    return NAMES[max(fitting, key=len)] if fitting else ""


def better(key: str) -> Better:
    """Which values of a metric are better."""
    return MEANINGS[metric_of(key)].better if metric_of(key) else "neither"


def trust(key: str) -> tuple[int | bool | str, ...]:
    """Sorts keys: fid_50k, fid_10k, other FIDs, other Fréchet distances, then other metrics.

    Within those enough images come before few, the train split before others, plain protocols
    before marked ones, many images before fewer.
    """
    metric = metric_of(key)
    place = TRUST.index(metric) if metric in TRUST else len(TRUST)
    inception = key.startswith(f"{KEY_PREFIXES.get(metric, ('',))[0]}_")
    usual = {"fid_50k": 0, "fid_10k": 1}.get(key, 2)
    found = COUNT.search(key)
    before, count, after = (key, 0, "") if found is None else _cut(key, found)
    return (place, not inception, usual, "_small" in key, after, before.count("_"), -count, key)


def _cut(key: str, found: re.Match[str]) -> tuple[str, int, str]:
    """What stands before the count, the count, what stands behind it."""
    count = int(found[1]) * (1000 if found[2] else 1)
    return key[: found.start()], count, key[found.end() :]


def few(ranking: Ranking) -> tuple[str, ...]:
    """One more key of each of the chief metrics, the most trusted."""
    firsts = (
        next((key for key in ranking.others if metric_of(key) == metric), None) for metric in FEW
    )
    return tuple(key for key in firsts if key)


def _ranks(key: str) -> bool:
    return better(key) != "neither"


def _chosen(runs: Sequence[Evaluated], common: Sequence[str], by: str | None) -> str:
    fit = [key for key in common if metric_of(key) in TRUST]
    if by is None:
        if not fit:
            has = "; ".join(f"{run.label} has {listed(sorted(run.metrics))}" for run in runs)
            raise GanError(
                f"no metric that all runs have: {has}{_apart(runs)}; evaluate them alike"
            )
        return fit[0]
    if by not in common:
        without = [_lacking(run, by) for run in runs if by not in run.metrics]
        rest = f"all have {listed(fit)}" if fit else "evaluate them alike"
        raise GanError(f"{by}: not measured for {', '.join(without)}; {rest}")
    if not _ranks(by):
        raise GanError(f"{by}: neither lower nor higher is better; rank by {listed(fit)}")
    return by


def _lacking(run: Evaluated, key: str) -> str:
    """The run's label, and what it has instead."""
    found = nearest(key, _same_metric(run, key), metric_of(key)) if metric_of(key) else None
    if found is None:
        return run.label
    return f"{run.label}, which has {found[0]} instead: other {' and '.join(found[1])}"


def _same_metric(run: Evaluated, key: str) -> list[str]:
    return [other for other in run.metrics if metric_of(other) == metric_of(key)]


def _apart(runs: Sequence[Evaluated]) -> str:
    """In what the first run's most trusted number differs from the nearest of the first that
    lacks it."""
    for key in sorted((key for key in runs[0].metrics if metric_of(key) in TRUST), key=trust):
        for run in runs[1:]:
            found = nearest(key, _same_metric(run, key), metric_of(key))
            if key not in run.metrics and found:
                return f"; {key} and {found[0]} differ in {' and '.join(found[1])}"
    return ""


def _by_protocol(runs: Sequence[Evaluated], key: str) -> dict[str, list[Evaluated]]:
    groups: dict[str, list[Evaluated]] = {}
    for run in runs:
        groups.setdefault(run.metrics[key].protocol, []).append(run)
    return groups


def _different(runs: Sequence[Evaluated], key: str, same: Sequence[str]) -> str:
    groups = _by_protocol(runs, key)
    sides = " against ".join(
        f"{', '.join(run.label for run in group)} by {protocol}"
        for protocol, group in groups.items()
    )
    firsts = [group[0] for group in groups.values()]
    instead = f"; --by {same[0]} compares" if same else ""
    why = " and ".join(_reasons(firsts, key)) or "extractor or real images"
    return (
        f"{key}: measured by different protocols ({sides}; they differ in {why}); evaluate them "
        f"alike with `gan evaluate`{instead}"
    )


def _reasons(runs: Sequence[Evaluated], key: str) -> Iterator[str]:
    """What is known to differ between measurements of one key."""
    abouts = [run.metrics[key].about for run in runs]
    shared = set.intersection(*({*about} for about in abouts))
    for name in sorted(shared):
        values = list(dict.fromkeys(about[name] for about in abouts))
        if len(values) > 1:
            yield name if any(map(DIGEST.fullmatch, values)) else _against(name, values)
    digests = {run.cache_digest for run in runs}
    if None not in digests and len(digests) > 1:
        yield f"the data they were trained on ({_digests(runs)})"


def _against(name: str, values: Sequence[str]) -> str:
    return f"{name} ({' against '.join(values)})"


def _digests(runs: Sequence[Evaluated]) -> str:
    return " / ".join(dict.fromkeys((run.cache_digest or "?")[:12] for run in runs))


def _check_data(runs: Sequence[Evaluated]) -> None:
    known = [run for run in runs if run.cache_digest is not None]
    if len({run.cache_digest for run in known}) > 1:
        whose = ", ".join(f"{run.label}: {(run.cache_digest or '')[:12]}" for run in known)
        raise GanError(
            f"trained on different data ({whose}){_data_reasons(known)}, though judged against "
            "the same; --other-data ranks them all the same"
        )


def _data_reasons(runs: Sequence[Evaluated]) -> str:
    """Which settings of the data differ, where all runs say them."""
    shared = set.intersection(*({*run.data} for run in runs))
    values = {key: list(dict.fromkeys(run.data[key] for run in runs)) for key in sorted(shared)}
    found = [_against(key, each) for key, each in values.items() if len(each) > 1]
    return f", which differ in {listed(found)}" if found else ""


def _places(runs: Sequence[Evaluated], key: str) -> tuple[Place, ...]:
    sign = -1 if better(key) == "higher" else 1
    ordered = sorted(runs, key=lambda run: sign * run.metrics[key].value)
    near = [
        tuple(j for j, other in enumerate(ordered) if j != i and not told_apart(run, other, key))
        for i, run in enumerate(ordered)
    ]
    return tuple(
        Place(run, 1 + sum(j not in near[i] for j in range(i)), near[i])
        for i, run in enumerate(ordered)
    )


def told_apart(one: Evaluated, other: Evaluated, key: str) -> bool:
    """Whether two values differ by more than both deviations; where one is unknown, at all."""
    a, b = one.metrics[key], other.metrics[key]
    if a.deviation is None or b.deviation is None:
        return a.value != b.value
    return abs(a.value - b.value) > a.deviation + b.deviation


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - MOST_LISTED
    shown = ", ".join(names[:MOST_LISTED]) or "no metric"
    return f"{shown} and {rest} more" if rest > 0 else shown
