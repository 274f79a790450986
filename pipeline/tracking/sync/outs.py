"""MLflow run of the training whose outs are in this checkout, made or completed from these files.

A run-cache hit, `dvc pull`, `dvc exp apply` and a new server leave outs without a run. A run
folder is built from them, of the parts that the run lacks, and pushed like any other.
"""

import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gan.checkpoints import Origin, load_checkpoint
from gan.errors import GanError
from gan.tensor_cache import TensorCache
from pipeline.code_digest import TRAINING, code_digest
from pipeline.console import count_noun, short, without_secrets
from pipeline.dataset.reader import Dataset
from pipeline.evaluation.result import CheckpointFacts, EvaluationResult, read_result
from pipeline.paths import Paths, sha256_of
from pipeline.pictures.png_lineage import read_lineage
from pipeline.tracking import run_times
from pipeline.tracking.descriptions import RECREATED, describe_training
from pipeline.tracking.evaluation_run import add_best
from pipeline.tracking.mlflow.logged_run import LoggedRun, read_run
from pipeline.tracking.mlflow.writer import MlflowWriter
from pipeline.tracking.model.log_model import needs_no_model
from pipeline.tracking.open_run import experiment_name
from pipeline.tracking.provenance.git import Git
from pipeline.tracking.provenance.tags import provenance_tags
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import Fact, make_run_folder, now_ms
from pipeline.tracking.run_folder.kept_folders import BUSY, SyncResult, find_kept_folders, send_all
from pipeline.training.loss_table import LossTable
from pipeline.training.publish import draw_real_sheet, write_digests

SMALL = 1 << 20  # bytes
ALWAYS = ("stage", "mlflow.user", "mlflow.source.name", "mlflow.source.type")
OF_THE_CODE = ("git_", "mlflow.source.git", "dvc_exp_")
"""Tags of this checkout that are the training's too if its code is here."""


@dataclass(frozen=True)
class Outs:
    """Outs of one training. result: evaluation.json, None if there is none.

    foreign: note on an evaluation in reports/ that is of another training.
    """

    origin: Origin
    losses: list[tuple[int, dict[str, float]]]
    result: EvaluationResult | None
    foreign: str = ""


def send_outs(paths: Paths, store: MlflowWriter, target: str) -> SyncResult:
    """Create the run of the training whose outs are here, or add what it lacks."""
    name = "models/ and reports/"
    try:
        outs = read_outs(paths)
        name = f"{outs.origin.name} (files)"
        if any(k.unsent and k.run_key == outs.origin.run_key for k in find_kept_folders(paths)):
            return SyncResult(name, "waits for its records above", complete=True)
        return _send(name, outs, paths, store, target)
    except Exception as error:
        known = isinstance(error, GanError)
        text = str(error) if known else f"not sent: {without_secrets(short(error))}"
        return SyncResult(name, text, complete=False)


def _send(name: str, outs: Outs, paths: Paths, store: MlflowWriter, target: str) -> SyncResult:
    logged = read_run(store, outs.origin.run_key, experiment_name())
    if logged is not None and logged.alive:
        return SyncResult(name, BUSY, complete=True)
    rejected: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gan-") as workspace:
        run = build_run(outs, paths, store, logged, Path(workspace))
        count = len(run.waiting)
        run.commit()
        if count and run.folder:
            send_all(name, run.folder, store, target, rejected)
    verb = "completed" if logged else "made from files"
    text = f"run {verb}: {count_noun(count, 'record')}" if count else "nothing missing"
    text = "; ".join([text, *run.problems, *([outs.foreign] if outs.foreign else ())])
    if rejected:
        text += f"; {len(rejected)} records rejected ({rejected[0]})"
    return SyncResult(name, text, not rejected, count)


# reading of the outs


def read_outs(paths: Paths) -> Outs:
    """Read models/ and reports/.

    The evaluation of an earlier training is left out: after `gan train` alone it is still there.
    GanError if a file is damaged, or if the others are of several trainings.
    """
    origin = Origin(**load_checkpoint(paths.models / "final.pt")["origin"])
    file = paths.reports / "evaluation.json"
    result = read_result(file) if file.is_file() else None
    if result and not (result.selection and isinstance(result.subject, CheckpointFacts)):
        raise GanError(f"{file}: not a result of the evaluate stage; `dvc checkout` restores it")
    snapshots = sorted((paths.models / "snapshots").glob("[0-9]*.pt"))
    key = load_checkpoint(snapshots[-1])["origin"]["run_key"] if snapshots else origin.run_key
    if key != origin.run_key:
        raise GanError(
            f"{paths.models / 'final.pt'} is of run {origin.run_key[:16]}, "
            f"{paths.models / 'snapshots'} of run {key[:16]}; `dvc repro` or `dvc checkout` "
            "brings them together"
        )
    losses = _read_losses(paths, origin)
    if result and result.subject.kind == "checkpoint" and result.subject.run_key != origin.run_key:
        note = f"the evaluation in reports/ is of run {result.subject.run_key[:16]}"
        return Outs(origin, losses, None, note)
    return Outs(origin, losses, result)


def _read_losses(paths: Paths, origin: Origin) -> list[tuple[int, dict[str, float]]]:
    file, seen = paths.reports / "losses.tsv", origin.images_seen
    try:
        lines = LossTable(file, until=1 << 62).rows
    except (ValueError, OSError):
        raise GanError(f"{file}: damaged; `dvc checkout` restores it") from None
    if lines and lines[-1][0] > seen:
        raise GanError(
            f"{file} ends at {lines[-1][0]:,} images seen, models/final.pt (run "
            f"{origin.run_key[:16]}) at {seen:,}: they are of different trainings"
        )
    return lines


def _find_times(run_key: str, paths: Paths, logged: LoggedRun | None) -> tuple[int, int]:
    """Find start and end of a training, in milliseconds since 1970.

    From logs/runs/ if it ran here; else from its MLflow run; else both are the date of the commit
    that has the present reports/losses.tsv; else now.
    """
    if times := run_times.read(paths, run_key):
        start = times["started"]
        return run_times.parse(start), run_times.parse(times.get("finished", start))
    if logged is not None:
        return logged.started, logged.ended or logged.started
    git, file = Git(paths.root), "reports/losses.tsv"
    changed = git.text("status", "--porcelain", "--", file)
    date = git.text("log", "-1", "--format=%ct", "--", file)
    when = int(date) * 1000 if date and changed == "" else now_ms()
    return when, when


# building of the run folder


def build_run(
    outs: Outs, paths: Paths, store: MlflowWriter, logged: LoggedRun | None, workspace: Path
) -> Run:
    """Record all that training and evaluation record on a run, but what `logged` has.

    workspace: an empty folder that stays until all is sent; files are linked into it.
    """
    origin = outs.origin
    start, end = _find_times(origin.run_key, paths, logged)
    header = {
        "experiment": experiment_name(),
        "name": origin.name,
        "attach": origin.run_key,
        "run_id": logged.run_id if logged else None,
        "start_time": start,
        "params": {},
        "tags": {"run_key": origin.run_key, RECREATED: "true", **_tags(outs, paths)},
    }
    run = Run(make_run_folder(workspace / "run", header))

    def time_of(step: int | None) -> int:
        """Time of a step, None for the end: steps are spread evenly."""
        images = max(1, origin.images_seen)
        return end if step is None else start + (end - start) * min(step, images) // images

    run.time_of, run.copy = time_of, _place
    if logged:
        run.known = _list_known(logged, outs, paths, store, end)
    _add_training(run, outs, paths, workspace)
    if outs.result:
        assert outs.result.selection is not None
        best, name = _find_best(outs.result, paths), f"{outs.result.selection.best:012d}.pt"
        if best.name != name and best.is_file():
            best = _place(best, workspace / name)
        add_best(run, outs.result, paths.reports, best)
    for record in run.waiting:
        if logged and "protocols" in record.get("values", {}):
            record["values"]["protocols"] = _merge_protocols(outs, logged)
    run.end("FINISHED")
    return run


def _tags(outs: Outs, paths: Paths) -> dict[str, str]:
    """Provenance tags: commit and data of this checkout only if they are the training's."""
    lineage = outs.origin.lineage
    prefixes: tuple[str, ...] = ALWAYS
    if lineage.get("decided", {}).get("code_digest") == code_digest(TRAINING):
        prefixes += OF_THE_CODE
    with suppress(GanError):
        if lineage.get("snapshot", "") == Dataset.open(paths.data).digest:
            prefixes += ("data_md5",)
    tags = provenance_tags(paths, "train")
    return {key: text for key, text in tags.items() if key.startswith(prefixes)}


def _list_known(
    logged: LoggedRun, outs: Outs, paths: Paths, store: MlflowWriter, end: int
) -> set[Fact]:
    """Parts that the run has, and those that need not be recorded on it."""
    known = set(logged.known)
    if _merge_protocols(outs, logged) != logged.tags.get("protocols"):
        known.discard(("tags", "protocols", None))
    stopped = RECREATED in logged.tags and logged.ended == logged.started != end
    if logged.status == "FINISHED" and not stopped:  # by a kill of the `gan sync` that made it
        known.add(("end", "", None))
    best = _find_best(outs.result, paths) if outs.result else None
    if best and best.is_file() and needs_no_model(store.client, logged.run_id, sha256_of(best)):
        known.add(("model", "", None))
    return known


def _merge_protocols(outs: Outs, logged: LoggedRun) -> str:
    """Protocols of the result's metrics, and of those that the run has besides."""
    old: dict[str, str] = {}
    with suppress(ValueError):
        old = json.loads(logged.tags.get("protocols", "{}"))
    metrics = outs.result.metrics if outs.result else {}
    new = {key: each.protocol for key, each in metrics.items()}
    return json.dumps(new | old)


def _add_training(run: Run, outs: Outs, paths: Paths, workspace: Path) -> None:
    origin = outs.origin
    if origin.lineage:
        describe_training(run, origin.lineage)
    else:  # of an old checkpoint
        run.params({"model": origin.model})
        run.tags({"cache_digest": origin.cache_digest})
    run.links()
    for seen, losses in outs.losses:
        run.metrics(losses, seen)
    for snapshot in sorted((paths.models / "snapshots").glob("[0-9]*.pt")):
        run.artifact(snapshot, "checkpoints")
    final = f"state-{origin.images_seen:012d}.pt"  # as the training calls it
    run.artifact(_place(paths.models / "final.pt", workspace / final), "checkpoints")
    if not any(fact[:2] == ("image", "grid") for fact in run.known):
        sheet, step = paths.reports / "samples.png", origin.images_seen
        with suppress(GanError, KeyError, TypeError, ValueError):
            step = int(read_lineage(sheet)["images_seen"])
        run.image("grid", sheet, step)
    with suppress(GanError):  # no cache
        cache = TensorCache.open(paths.cache)
        if cache.digest == origin.cache_digest:
            run.image("real", draw_real_sheet(cache, workspace / "real.png"), 0)
    digests = write_digests(paths, workspace / "outs.json", {"run_key": origin.run_key})
    run.artifact(digests, "lineage")


def _place(file: Path, target: Path) -> Path:
    """Copy a small file, which may be temporary, and link to a big one; FileNotFoundError."""
    if file.stat().st_size < SMALL:
        shutil.copyfile(file, target)
    else:
        target.symlink_to(file.resolve())
    return target


def _find_best(result: EvaluationResult, paths: Paths) -> Path:
    """The snapshot that the evaluation chose, or its copy."""
    assert result.selection is not None
    snapshot = paths.models / "snapshots" / f"{result.selection.best:012d}.pt"
    return snapshot if snapshot.is_file() else paths.models / "best.pt"
