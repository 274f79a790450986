"""`gan reproduce`: a run repeated in a folder of its own, and its results compared."""

from pathlib import Path
from typing import Any

import typer

from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.dataset.dvc_cache import DvcCache
from pipeline.paths import Paths
from pipeline.runs.lineage.check import KEY
from pipeline.runs.lineage.trace import CHANGES, Code, Lineage, trace
from pipeline.runs.other_checkout import identity_in
from pipeline.runs.reproduce.checkout import ReproductionFolder
from pipeline.runs.reproduce.comparison import compare, explain, format_lines, read_expected
from pipeline.training.identity import differences


def run(subject: str, paths: Paths, to: Path) -> None:
    """Check out, train and evaluate a run again under `to` and print a comparison; exit with 1 if
    results differ.

    After a kill the same command resumes. GanError if too little is known or available, or if the
    checkout would train something else, which is checked before it trains.

    MLflow gets it in a store of its own under `to`: in the usual one it would be the newest run of
    the run key, which evaluations and lineage take for the original.
    """
    lineage = trace(subject, paths)
    code, repository = _check(lineage)
    expected, folder = read_expected(lineage), to.resolve()
    if folder.is_relative_to(repository.resolve()):
        raise GanError(f"{folder}: lies in the repository itself; choose a folder beside it")
    identity = {"run_key": lineage.subject.run_key, "commit": code.commit}
    reproduction = ReproductionFolder(folder, identity)
    with reproduction.claim():
        reproduction.once("checkout", lambda: _check_out(reproduction, lineage, code, repository))
        reproduction.once("data", lambda: reproduction.run("dvc", "repro", "preprocess"))
        trained = _check_training(folder, lineage)
        reproduction.once("train", lambda: _repeat(reproduction, "train"))
        if expected.metrics:
            reproduction.once("evaluate", lambda: _evaluate(reproduction))
        comparisons = list(compare(lineage, expected, reproduction))
    typer.echo("\n".join(format_lines(comparisons)))
    if not all(each.equal for each in comparisons):
        say(explain(expected.machine, folder, trained))
        raise SystemExit(1)


def _check(lineage: Lineage) -> tuple[Code, Path]:
    """The code to run, and the repository that has it."""
    code, given, top = lineage.code, lineage.subject.given, lineage.history.top
    if lineage.subject.key_matches() is False:
        raise GanError(f"{given}: run key: {KEY[False]}; take the original file")
    if code is None:
        reason = f" ({lineage.no_run})" if lineage.no_run else ""
        raise GanError(
            f"{given}: its commit is unknown{reason}; set MLFLOW_TRACKING_URI, or run this in the "
            "run's repository"
        )
    if not code.available or top is None:
        raise GanError(
            f"{given}: its commit {code.commit} is not in this repository; `git fetch --all` first"
        )
    if not code.complete:
        warn(f"{CHANGES[code.changes]}; the training may turn out different")
    return code, top


def _check_out(
    reproduction: ReproductionFolder, lineage: Lineage, code: Code, repository: Path
) -> None:
    patch, root = lineage.patch if code.has_patch else None, lineage.paths.root
    reproduction.check_out(repository, code.commit, patch)
    reproduction.share(root, DvcCache(root).folder)


def _check_training(folder: Path, lineage: Lineage) -> dict[str, Any]:
    """Identity of the training there; GanError if its run key is not the original's."""
    answer = identity_in(folder)
    identity: dict[str, Any] = answer["identity"]
    if answer["run_key"] == lineage.subject.run_key:
        return identity
    inputs = lineage.subject.key_inputs
    found = differences(inputs, {key: identity.get(key) for key in inputs}) if inputs else []
    raise GanError(
        f"{folder}: would train another run, key {answer['run_key'][:16]}: "
        f"{'; '.join(found[:6]) or 'the difference is unknown'}; nothing was trained"
    )


def _repeat(reproduction: ReproductionFolder, stage: str) -> None:
    """Run a stage anew without committing to DVC's cache: the run cache must not get results that
    differ."""
    reproduction.run("dvc", "repro", "--force", "--single-item", "--no-commit", stage)


def _evaluate(reproduction: ReproductionFolder) -> None:
    reproduction.run("dvc", "repro", "--single-item", "reference")
    _repeat(reproduction, "evaluate")
