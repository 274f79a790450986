"""`gan reproduce`: a run repeated in a folder of its own, and its results compared."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer

from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.paths import Paths
from pipeline.runs.lineage.dvc_cache import DvcCache
from pipeline.runs.lineage.trace import Code, Lineage, trace
from pipeline.runs.lineage.tracked_run import PATCH
from pipeline.runs.other_checkout import identity_in
from pipeline.runs.reproduce.checkout import ReproductionFolder
from pipeline.runs.reproduce.comparison import (
    Expected,
    compare,
    explain,
    format_lines,
    read_expected,
)


@dataclass(frozen=True)
class _Original:
    """The run to reproduce."""

    lineage: Lineage
    code: Code
    repository: Path
    expected: Expected


def run(subject: str, paths: Paths, to: Path) -> None:
    """Check out, train and evaluate a run again under `to` and print a comparison; exit with 1 if
    results differ.

    After a kill the same command resumes. GanError if too little is known or available, or if the
    checkout would train something else, which is checked before it trains.

    MLflow gets it in a store of its own under `to`: in the usual one it would be the newest run of
    the run key, which evaluations and lineage take for the original.
    """
    original = _find_original(trace(subject, paths))
    reproduction = ReproductionFolder(to.resolve(), _identity(original))
    _refuse_inside(reproduction.folder, original.repository)
    reproduction.claim()
    with reproduction.lock():
        _prepare(reproduction, original)
        identity = _check_identity(reproduction, original)
        _train(reproduction)
        if original.expected.metrics:
            _evaluate(reproduction)
        comparisons = compare(original.lineage, original.expected, reproduction)
    typer.echo("\n".join(format_lines(comparisons)))
    if not all(each.equal for each in comparisons):
        say(explain(original.expected, reproduction, identity))
        raise SystemExit(1)


def _find_original(lineage: Lineage) -> _Original:
    code, given, top = lineage.code, lineage.subject.given, lineage.history.top
    if lineage.subject.key_matches() is False:
        raise GanError(
            f"{given}: its run key is not the digest of its settings, data and code: its metadata "
            "was edited; take the original file"
        )
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
        warn(f"{_describe_missing(code)}; the training may turn out different")
    return _Original(lineage, code, top, read_expected(lineage))


def _describe_missing(code: Code) -> str:
    if code.dirty is None:
        return "it is unknown whether there were uncommitted changes"
    return f"the uncommitted changes were {'kept only in part' if code.has_patch else 'not kept'}"


def _identity(original: _Original) -> dict[str, str]:
    return {"run_key": original.lineage.subject.run_key, "commit": original.code.commit}


def _refuse_inside(folder: Path, repository: Path) -> None:
    if folder.is_relative_to(repository.resolve()):
        raise GanError(f"{folder}: lies in the repository itself; choose a folder beside it")


def _prepare(reproduction: ReproductionFolder, original: _Original) -> None:
    """Check out, then bring data and tensor cache from the DVC cache, or build them again."""
    lineage = original.lineage
    if not reproduction.is_done("checkout"):
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            run = lineage.run if original.code.has_patch else None
            patch = run.fetch(PATCH, Path(folder)) if run else None
            reproduction.check_out(original.repository, original.code.commit, patch)
        root = lineage.paths.root
        reproduction.share(root, DvcCache(root).folder)
        reproduction.mark_done("checkout")
    if not reproduction.is_done("data"):
        reproduction.run("dvc", "repro", "preprocess")
        reproduction.mark_done("data")


def _check_identity(reproduction: ReproductionFolder, original: _Original) -> dict[str, object]:
    """Identity of the training there; GanError if its run key is not the original's."""
    from pipeline.training.progress_folder import differences

    answer = identity_in(reproduction.folder)
    identity: dict[str, object] = answer["identity"]
    if answer["run_key"] == original.lineage.subject.run_key:
        return identity
    inputs = dict(original.expected.key_inputs)
    found = differences(inputs, {key: identity.get(key) for key in inputs}) if inputs else []
    raise GanError(
        f"{reproduction.folder}: would train another run, key {answer['run_key'][:16]}: "
        f"{'; '.join(found[:6]) or 'the difference is unknown'}; nothing was trained"
    )


def _train(reproduction: ReproductionFolder) -> None:
    """Train without committing to DVC's cache: the run cache must not get results that differ."""
    if not reproduction.is_done("train"):
        reproduction.run("dvc", "repro", "--force", "--single-item", "--no-commit", "train")
        reproduction.mark_done("train")


def _evaluate(reproduction: ReproductionFolder) -> None:
    if not reproduction.is_done("evaluate"):
        reproduction.run("dvc", "repro", "--single-item", "reference")
        reproduction.run("dvc", "repro", "--force", "--single-item", "--no-commit", "evaluate")
        reproduction.mark_done("evaluate")
