"""`gan reproduce`: a run made again in a folder of its own, and compared."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer

from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.paths import Paths
from pipeline.runs.lineage.dvc_cache import DvcCache
from pipeline.runs.lineage.trace import Code, Lineage, trace
from pipeline.runs.lineage.tracked_row import PATCH
from pipeline.runs.other_checkout import identity_in
from pipeline.runs.reproduce.checkout import Again
from pipeline.runs.reproduce.comparison import Expected, compared, expected, explained, table


@dataclass(frozen=True)
class _Run:
    """What is made again: everything that has to be known before."""

    found: Lineage
    code: Code
    repository: Path
    wanted: Expected


def run(subject: str, paths: Paths, to: Path) -> None:
    """Check out, train and evaluate a run anew under `to`, print how it compares; exit 1 if it
    differs.

    The same command goes on after a kill. GanError if too little is known or present, or if the
    checkout would train something else, which is seen before it trains.

    It is tracked in a store of its own under `to`: in the usual one its row would be the newest of
    the run key, which evaluations and lineage take for the run itself.
    """
    run = _known(trace(subject, paths))
    again = Again(to.resolve(), _identity(run))
    _refuse_inside(again.folder, run.repository)
    again.claim()
    with again.alone():
        _prepare(again, run)
        identity = _planned(again, run)
        _train(again)
        if run.wanted.metrics:
            _evaluate(again)
        rows = compared(run.found, run.wanted, again)
    typer.echo("\n".join(table(rows)))
    if not all(row.equal for row in rows):
        say(explained(run.wanted, again, identity))
        raise SystemExit(1)


def _known(found: Lineage) -> _Run:
    code, given = found.code, found.subject.given
    if found.subject.key_holds() is False:
        raise GanError(f"{given}: its run key is not the digest of what it says: it was edited")
    if code is None:
        why = f" ({found.no_row})" if found.no_row else ""
        raise GanError(
            f"{given}: no commit of it is known{why}; MLFLOW_TRACKING_URI=... or the run's own "
            "repository may know"
        )
    if not code.here or found.commits.top is None:
        raise GanError(f"{given}: its commit {code.commit} is not here; `git fetch --all` first")
    if not code.complete:
        warn(f"{_lacking(code)}; the training may turn out another one")
    return _Run(found, code, found.commits.top, expected(found))


def _lacking(code: Code) -> str:
    if code.dirty is None:
        return "whether all was committed then is not known"
    return f"what was not committed then is {'only partly' if code.patch else 'not'} kept"


def _identity(run: _Run) -> dict[str, str]:
    return {"run_key": run.found.subject.run_key, "commit": run.code.commit}


def _refuse_inside(folder: Path, repository: Path) -> None:
    if folder.is_relative_to(repository.resolve()):
        raise GanError(f"{folder}: lies in the repository itself; choose a folder beside it")


def _prepare(again: Again, run: _Run) -> None:
    """Files, then data and tensor cache: from the repository's DVC cache, else made anew."""
    if not again.done("checkout"):
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            row = run.found.row if run.code.patch else None
            patch = row.fetched(PATCH, Path(folder)) if row else None
            again.check_out(run.repository, run.code.commit, patch)
        root = run.found.paths.root
        again.share(root, DvcCache(root).folder)
        again.mark("checkout")
    if not again.done("data"):
        again.runs("dvc", "repro", "preprocess")
        again.mark("data")


def _planned(again: Again, run: _Run) -> dict[str, object]:
    """What decides the training there; GanError if it is not what decided the run."""
    from pipeline.training.progress_folder import differences

    plan = identity_in(again.folder)
    identity: dict[str, object] = plan["identity"]
    if plan["run_key"] == run.found.subject.run_key:
        return identity
    decided = dict(run.wanted.decided)
    told = differences(decided, {key: identity.get(key) for key in decided}) if decided else []
    raise GanError(
        f"{again.folder}: would train another run, key {plan['run_key'][:16]}: "
        f"{'; '.join(told[:6]) or 'what differs is not known'}; nothing was trained"
    )


def _train(again: Again) -> None:
    """Uncommitted to DVC's cache: if it differs, the repository's run cache must not have it."""
    if not again.done("train"):
        again.runs("dvc", "repro", "--force", "--single-item", "--no-commit", "train")
        again.mark("train")


def _evaluate(again: Again) -> None:
    if not again.done("evaluate"):
        again.runs("dvc", "repro", "--single-item", "reference")
        again.runs("dvc", "repro", "--force", "--single-item", "--no-commit", "evaluate")
        again.mark("evaluate")
