"""MLflow run of the training whose outs are in this checkout, made or completed from these files.

A run-cache hit, `dvc pull`, `dvc exp apply` and a new server leave outs without a run.
"""

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gan.checkpoints import Origin, load_checkpoint
from gan.errors import GanError
from pipeline.code_digest import TRAINING, code_digest
from pipeline.console import progress, short, without_secrets
from pipeline.dataset.reader import Dataset
from pipeline.evaluation.result import FORMAT
from pipeline.paths import Paths
from pipeline.pictures.png_lineage import read_lineage
from pipeline.tracking.descriptions import describe_training
from pipeline.tracking.evaluation_run import add_best
from pipeline.tracking.mlflow.logged_run import LoggedRun, SyncStore
from pipeline.tracking.open_run import experiment_name
from pipeline.tracking.provenance.tags import provenance_tags
from pipeline.tracking.run_folder.folder import count_unsent
from pipeline.tracking.run_folder.kept_folders import BATCH, BUSY, SyncResult, find_kept_folders
from pipeline.tracking.run_folder.sender import group_metrics, write_records
from pipeline.tracking.sync.missing_parts import RECREATED, MissingParts
from pipeline.tracking.sync.times import Span, find_span
from pipeline.tracking.sync.training_files import draw_real_sheet, write_hashes
from pipeline.training.observer import LossTable

METRICS = "metrics.json"
ALWAYS = ("stage", "mlflow.user", "mlflow.source.name", "mlflow.source.type")
OF_THE_CODE = ("git_", "mlflow.source.git", "dvc_exp_")
"""Tags of this checkout that are the training's too if its code is here."""


@dataclass(frozen=True)
class Outs:
    """Outs of one training. result: evaluation.json; numbers: metrics.json.

    foreign: note on an evaluation in reports/ that is of another training.
    """

    origin: Origin
    losses: list[tuple[int, dict[str, float]]]
    result: dict[str, Any] | None
    numbers: dict[str, Any]
    foreign: str = ""

    @property
    def keys(self) -> list[str]:
        """Metrics that the run should have."""
        keys = {key for _, values in self.losses for key in values}
        keys |= {key for key, each in self.numbers.items() if isinstance(each, int | float)}
        keys |= {f"deviation/{key}" for key in keys}
        if self.result:
            measured = set(self.result["metrics"])
            keys |= measured | {f"deviation/{key}" for key in measured}
            keys |= {"best_images_seen"}
            if key := self.result["selection"]["key"]:
                keys.add(f"selection/{key}")
        return sorted(keys)


def send_outs(paths: Paths, store: Callable[[], SyncStore]) -> SyncResult:
    """Create the run of the training whose outs are here, or add what it lacks.

    GanError where the store can't be reached.
    """
    name = "models/ and reports/"
    try:
        outs = read_outs(paths)
    except GanError as error:
        return SyncResult(name, str(error), complete=False)
    if outs is None:
        return SyncResult(name, "removed meanwhile", complete=True)
    name = f"{outs.origin.name} (files)"
    for kept in find_kept_folders(paths):
        if kept.run_key == outs.origin.run_key and count_unsent(kept.folder):
            return SyncResult(name, "waits for its records above", complete=True)
    try:
        return _send(name, outs, paths, store())
    except GanError:
        raise
    except Exception as error:
        return SyncResult(name, f"not sent: {without_secrets(short(error))}", complete=False)


def _send(name: str, outs: Outs, paths: Paths, store: SyncStore) -> SyncResult:
    experiment = experiment_name()
    logged = store.read_run(outs.origin.run_key, experiment, outs.keys)
    if logged is not None and logged.alive:
        return SyncResult(name, BUSY, complete=True)
    span = find_span(outs.origin.run_key, outs.origin.images_seen, paths, logged)
    with tempfile.TemporaryDirectory(prefix="gan-") as workspace:
        parts = _missing_parts(logged, span, store, Path(workspace))
        add_outs(parts, outs, paths, Path(workspace))
        if logged is None:
            run_id = store.open_run(new_header(outs, paths, experiment, span))
        else:
            run_id = logged.run_id
        rejected = _write(parts, run_id, store)
    verb = "completed" if logged else "made from files"
    text = f"run {verb}: {_summary(parts)}" if parts.records else "nothing missing"
    if parts.different:
        text += f"; {parts.different} points that differ from the files' stay"
    text = "; ".join([text, *parts.problems, *([outs.foreign] if outs.foreign else ())])
    if rejected:
        text += f"; {len(rejected)} records rejected ({rejected[0]})"
    return SyncResult(name, text, not rejected, len(parts.records))


def _missing_parts(
    logged: LoggedRun | None, span: Span, store: SyncStore, workspace: Path
) -> MissingParts:
    if logged is None:
        return MissingParts(None, span.at, lambda _: False, workspace)
    logged = replace(logged, files=logged.files | store.list_files(logged.run_id, "lineage"))
    has_model = partial(store.needs_no_model, logged.run_id)
    return MissingParts(logged, span.at, has_model, workspace)


def _write(parts: MissingParts, run_id: str, store: SyncStore) -> list[str]:
    """Write all records; returns why some were rejected."""
    rejected: list[str] = []
    total = len(parts.records)
    if not total:
        return rejected
    with progress("records", total) as advance:
        for first in range(0, total, BATCH):
            batch = [(0, record) for record in parts.records[first : first + BATCH]]
            for group in group_metrics(batch):
                records = [record for _, record in group]
                write_records(store, run_id, records, Path(), rejected.append)
            advance(min(total, first + BATCH), "")
    return rejected


def _summary(parts: MissingParts) -> str:
    counts = [(parts.points, "points"), (parts.files, "files")]
    others = sum(
        record["kind"] not in ("metrics", "image", "artifact", "model") for record in parts.records
    )
    return ", ".join(f"{n} {noun}" for n, noun in [*counts, (others, "other records")] if n)


def read_outs(paths: Paths) -> Outs | None:
    """Read models/ and reports/, None without models/final.pt.

    The evaluation of an earlier training is left out: after `gan train` alone it is still there.
    GanError if a file is damaged, or if the others are of several trainings.
    """
    final = paths.models / "final.pt"
    if not final.is_file():
        return None
    origin = _read_origin(final)
    result, numbers = (
        _read_result(paths.reports / "evaluation.json"),
        _read_json(paths.reports / METRICS),
    )
    _require_one_training(paths, origin)
    key = result.get("subject", {}).get("run_key", "") or numbers.get("run_key", "")
    foreign = ""
    if not origin.run_key.startswith(key):
        result, numbers, foreign = {}, {}, f"the evaluation in reports/ is of run {key[:16]}"
    return Outs(origin, _read_losses(paths, origin), result or None, numbers, foreign)


def _read_origin(file: Path) -> Origin:
    try:
        return Origin(**load_checkpoint(file)["origin"])
    except TypeError:
        raise GanError(f"{file}: has no origin; train again") from None


def _read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file; {} if there is none."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise GanError(f"{file}: damaged; `dvc checkout` or `gan evaluate` restores it")
    return content


def _read_result(file: Path) -> dict[str, Any]:
    content = _read_json(file)
    if content and (content.get("format") != FORMAT or not content.get("selection")):
        raise GanError(f"{file}: not a result of the evaluate stage; `dvc checkout` restores it")
    return content


def _require_one_training(paths: Paths, origin: Origin) -> None:
    snapshots = sorted((paths.models / "snapshots").glob("[0-9]*.pt"))
    key = _read_origin(snapshots[-1]).run_key if snapshots else origin.run_key
    if key != origin.run_key:
        raise GanError(
            f"{paths.models / 'final.pt'} is of run {origin.run_key[:16]}, "
            f"{paths.models / 'snapshots'} of run {key[:16]}; `dvc repro` or `dvc checkout` "
            "brings them together"
        )


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


def new_header(outs: Outs, paths: Paths, experiment: str, span: Span) -> dict[str, Any]:
    """Header of a run to create."""
    return {
        "experiment": experiment,
        "name": outs.origin.name,
        "id": uuid.uuid4().hex,
        "attach": outs.origin.run_key,
        "start_time": span.started,
        "params": {},
        "tags": {"run_key": outs.origin.run_key, RECREATED: "true", **_tags(outs, paths)},
    }


def _tags(outs: Outs, paths: Paths) -> dict[str, str]:
    """Provenance tags: commit and data of this checkout only if they are the training's."""
    lineage = outs.origin.lineage
    prefixes: tuple[str, ...] = ALWAYS
    if lineage.get("decided", {}).get("code_digest") == code_digest(TRAINING):
        prefixes += OF_THE_CODE
    if lineage.get("snapshot", "") == _dataset_digest(paths):
        prefixes += ("data_md5",)
    tags = provenance_tags(paths, "train")
    return {key: text for key, text in tags.items() if key.startswith(prefixes)}


def _dataset_digest(paths: Paths) -> str | None:
    """Digest of data/, None if there is none."""
    try:
        return Dataset.open(paths.data).digest
    except GanError:
        return None


def add_outs(parts: MissingParts, outs: Outs, paths: Paths, workspace: Path) -> None:
    """Add all that training and evaluation record on a run.

    workspace: an empty folder, for files under other names; it must stay until all is sent.
    """
    origin = outs.origin
    if origin.lineage:
        describe_training(parts, origin.lineage)
    else:  # of an old checkpoint
        parts.params({"model": origin.model})
        parts.tags({"cache_digest": origin.cache_digest})
    parts.links()
    for seen, losses in outs.losses:
        parts.metrics(losses, seen)
    for file in _checkpoints(outs, paths, workspace):
        parts.artifact(file, "checkpoints")
    parts.first_image("grid", paths.reports / "samples.png", _grid_step(outs, paths))
    if real := draw_real_sheet(origin, paths, workspace):
        parts.image("real", real, 0)
    parts.artifact(write_hashes(origin, paths, workspace), "lineage")
    _add_evaluation(parts, outs, paths, workspace)
    parts.end()


def _checkpoints(outs: Outs, paths: Paths, workspace: Path) -> Iterator[Path]:
    yield from sorted((paths.models / "snapshots").glob("[0-9]*.pt"))
    final = workspace / f"state-{outs.origin.images_seen:012d}.pt"  # as the training calls it
    final.symlink_to((paths.models / "final.pt").resolve())
    yield final


def _grid_step(outs: Outs, paths: Paths) -> int:
    try:
        return int(read_lineage(paths.reports / "samples.png")["images_seen"])
    except (GanError, KeyError, TypeError, ValueError):
        return outs.origin.images_seen


def _add_evaluation(parts: MissingParts, outs: Outs, paths: Paths, workspace: Path) -> None:
    if outs.result:
        snapshot = paths.models / "snapshots" / f"{outs.result['selection']['best']:012d}.pt"
        best = paths.models / "best.pt"
        if not snapshot.is_file() and best.is_file():
            snapshot = workspace / snapshot.name
            snapshot.symlink_to(best.resolve())
        add_best(parts, outs.result, paths.reports, snapshot)
        return
    spread = outs.numbers.get("deviation", {})
    numbers = {k: v for k, v in outs.numbers.items() if isinstance(v, int | float)}
    parts.metrics(
        numbers | {f"deviation/{k}": v for k, v in spread.items()}, outs.origin.images_seen
    )
