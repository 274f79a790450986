"""The row of the training whose outs lie here, made or completed from files alone.

A run-cache hit, `dvc pull`, `dvc exp apply` and a new server leave outs without a row.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.checkpoints import Origin, load_checkpoint
from gan.errors import GanError
from pipeline.code_digest import TRAINING, code_digest
from pipeline.dataset.reader import Dataset
from pipeline.evaluation.evaluate_subject import FORMAT
from pipeline.paths import Paths
from pipeline.pictures.png_lineage import read_lineage
from pipeline.tracking.descriptions import describe_training
from pipeline.tracking.evaluation_row import add_best
from pipeline.tracking.provenance.tags import origin as provenance
from pipeline.tracking.sync.missing_parts import RECREATED, MissingParts
from pipeline.tracking.sync.times import Span
from pipeline.tracking.sync.training_files import hashes, real_sheet
from pipeline.training.observer import LossTable

METRICS = "metrics.json"
ALWAYS = ("stage", "mlflow.user", "mlflow.source.name", "mlflow.source.type")
OF_THE_CODE = ("git_", "mlflow.source.git", "dvc_exp_")
"""Tags of the training's checkout, if its code lies here; those of a machine nobody knows."""


@dataclass(frozen=True)
class Outs:
    """What lies here of one training. result: evaluation.json; numbers: metrics.json.

    foreign: what is said of an evaluation that lies here too and is another training's.
    """

    origin: Origin
    losses: list[tuple[int, dict[str, float]]]
    result: dict[str, Any] | None
    numbers: dict[str, Any]
    foreign: str = ""

    @property
    def keys(self) -> list[str]:
        """Metrics that its row should have."""
        found = {key for _, values in self.losses for key in values}
        found |= {key for key, each in self.numbers.items() if isinstance(each, int | float)}
        found |= {f"deviation/{key}" for key in found}
        if self.result:
            measured = set(self.result["metrics"])
            found |= measured | {f"deviation/{key}" for key in measured}
            found |= {"best_images_seen"}
            if key := self.result["selection"]["key"]:
                found.add(f"selection/{key}")
        return sorted(found)


def outs_of(paths: Paths) -> Outs | None:
    """What lies in models/ and reports/, None without models/final.pt.

    An evaluation of the training before is left out: after `gan train` alone it lies here still.
    GanError if a file is damaged, or if the others are of several trainings.
    """
    final = paths.models / "final.pt"
    if not final.is_file():
        return None
    origin = _origin(final)
    result, numbers = _result(paths.reports / "evaluation.json"), _json(paths.reports / METRICS)
    _check_one_training(paths, origin)
    key = result.get("subject", {}).get("run_key", "") or numbers.get("run_key", "")
    foreign = ""
    if not origin.run_key.startswith(key):
        result, numbers, foreign = {}, {}, f"the evaluation in reports/ is of run {key[:16]}"
    return Outs(origin, _losses(paths, origin), result or None, numbers, foreign)


def _origin(file: Path) -> Origin:
    try:
        return Origin(**load_checkpoint(file)["origin"])
    except TypeError:
        raise GanError(f"{file}: says nothing of its origin; train again") from None


def _json(file: Path) -> dict[str, Any]:
    """{} if there is none."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise GanError(f"{file}: damaged; `dvc checkout` or `gan evaluate` brings it back")
    return content


def _result(file: Path) -> dict[str, Any]:
    content = _json(file)
    if content and (content.get("format") != FORMAT or not content.get("selection")):
        raise GanError(
            f"{file}: not what the evaluate stage writes; `dvc checkout` brings it back"
        )
    return content


def _check_one_training(paths: Paths, origin: Origin) -> None:
    snapshots = sorted((paths.models / "snapshots").glob("[0-9]*.pt"))
    key = _origin(snapshots[-1]).run_key if snapshots else origin.run_key
    if key != origin.run_key:
        raise GanError(
            f"{paths.models / 'final.pt'} is of run {origin.run_key[:16]}, "
            f"{paths.models / 'snapshots'} of run {key[:16]}; `dvc repro` or `dvc checkout` "
            "brings them together"
        )


def _losses(paths: Paths, origin: Origin) -> list[tuple[int, dict[str, float]]]:
    file, seen = paths.reports / "losses.tsv", origin.images_seen
    try:
        rows = LossTable(file, until=1 << 62).rows
    except (ValueError, OSError):
        raise GanError(f"{file}: damaged; `dvc checkout` brings it back") from None
    if rows and rows[-1][0] > seen:
        raise GanError(
            f"{file} goes on to {rows[-1][0]:,} images seen, models/final.pt (run "
            f"{origin.run_key[:16]}) to {seen:,}: they are of different trainings"
        )
    return rows


def new_row(outs: Outs, paths: Paths, experiment: str, span: Span) -> dict[str, Any]:
    """What a receiver opens a row by, should there be none."""
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
    """Where it comes from: commit and data of this checkout if they are what trained."""
    lineage = outs.origin.lineage
    known: tuple[str, ...] = ALWAYS
    if lineage.get("decided", {}).get("code_digest") == code_digest(TRAINING):
        known += OF_THE_CODE
    if lineage.get("snapshot", "") == _dataset_digest(paths):
        known += ("data_md5",)
    tags = provenance(paths, "train")
    return {key: text for key, text in tags.items() if key.startswith(known)}


def _dataset_digest(paths: Paths) -> str | None:
    """Digest of data/, None if there is none."""
    try:
        return Dataset.open(paths.data).digest
    except GanError:
        return None


def fill(row: MissingParts, outs: Outs, paths: Paths, links: Path) -> None:
    """Hand over all that training and evaluation would have put onto the row.

    links: an empty folder, for files under other names; it must stay until all is sent.
    """
    origin = outs.origin
    if origin.lineage:
        describe_training(row, origin.lineage)
    else:  # of an old checkpoint
        row.params({"model": origin.model})
        row.tags({"cache_digest": origin.cache_digest})
    row.links()
    for seen, measured in outs.losses:
        row.metrics(measured, seen)
    for file in _checkpoints(outs, paths, links):
        row.artifact(file, "checkpoints")
    row.first_image("grid", paths.reports / "samples.png", _grid_step(outs, paths))
    if real := real_sheet(origin, paths, links):
        row.image("real", real, 0)
    row.artifact(hashes(origin, paths, links), "lineage")
    _evaluation(row, outs, paths, links)
    row.ended()


def _checkpoints(outs: Outs, paths: Paths, links: Path) -> Iterator[Path]:
    yield from sorted((paths.models / "snapshots").glob("[0-9]*.pt"))
    final = links / f"state-{outs.origin.images_seen:012d}.pt"  # as the training calls it
    final.symlink_to((paths.models / "final.pt").resolve())
    yield final


def _grid_step(outs: Outs, paths: Paths) -> int:
    try:
        return int(read_lineage(paths.reports / "samples.png")["images_seen"])
    except (GanError, KeyError, TypeError, ValueError):
        return outs.origin.images_seen


def _evaluation(row: MissingParts, outs: Outs, paths: Paths, links: Path) -> None:
    if outs.result:
        snapshot = paths.models / "snapshots" / f"{outs.result['selection']['best']:012d}.pt"
        best = paths.models / "best.pt"
        if not snapshot.is_file() and best.is_file():
            snapshot = links / snapshot.name
            snapshot.symlink_to(best.resolve())
        add_best(row, outs.result, paths.reports, snapshot)
        return
    spread = outs.numbers.get("deviation", {})
    numbers = {k: v for k, v in outs.numbers.items() if isinstance(v, int | float)}
    row.metrics(
        numbers | {f"deviation/{k}": v for k, v in spread.items()}, outs.origin.images_seen
    )
