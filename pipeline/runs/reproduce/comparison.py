"""Comparison of a run's recorded results with their reproduction."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.console import say
from pipeline.dataset.dvc_md5 import directory_md5
from pipeline.paths import Paths
from pipeline.runs.lineage.dvc_cache import read_locked_outs
from pipeline.runs.lineage.git_history import RECORD
from pipeline.runs.lineage.trace import Lineage
from pipeline.runs.lineage.tracked_run import EVALUATION, OUTS
from pipeline.runs.reproduce.checkout import ReproductionFolder

MACHINE = ("torch", "device", "precision", "hardware.cpu", "hardware.gpu", "version.numpy")
"""Tags on which exact bits depend besides the run key."""

SHORT = 16  # digits of a digest in the output

ABSENT = "missing"


@dataclass(frozen=True)
class Comparison:
    """A value of the original run and of its reproduction."""

    name: str
    original: str
    reproduced: str

    @property
    def equal(self) -> bool:
        return self.original == self.reproduced


@dataclass(frozen=True)
class Metric:
    """A metric of an evaluation. protocol: only equal ones compare, "" with any."""

    value: float
    protocol: str = ""


@dataclass(frozen=True)
class Expected:
    """Recorded results of a run. outs: digests by path, of the kind `digest_kind`.

    key_inputs: values of which the run key is the digest; machine: values by tag of MACHINE.
    evaluated: images seen by the checkpoint that the metrics are of, if recorded.
    """

    key_inputs: Mapping[str, Any]
    machine: Mapping[str, Any]
    digest_kind: str = "sha256"
    outs: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    evaluated: int | None = None


def read_expected(lineage: Lineage) -> Expected:
    """Results from the artefacts of the MLflow run, else from the commit that records the run."""
    run, outs, evaluation = lineage.run, {}, {}
    if run:
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            outs = run.read_json(OUTS, Path(folder))
            evaluation = run.read_json(EVALUATION, Path(folder))
    tags = run.tags if run else {}
    machine = {key: tags[key] for key in MACHINE if key in tags} | outs.get("identity", {})
    digests, kind = outs.get("outs", {}), "sha256"
    if not digests and lineage.recorded_by:
        lock = lineage.history.read(lineage.recorded_by, "dvc.lock")
        digests, kind = read_locked_outs(lock, "train"), "md5"
    metrics = _read_metrics(evaluation) or _read_committed_metrics(lineage)
    evaluated = evaluation.get("subject", {}).get("images_seen")
    return Expected(lineage.subject.key_inputs, machine, kind, digests, metrics, evaluated)


def _read_metrics(evaluation: Mapping[str, Any]) -> dict[str, Metric]:
    """Metrics of an evaluation.json; {} for an empty one."""
    return {
        key: Metric(each["value"], each["protocol"])
        for key, each in evaluation.get("metrics", {}).items()
    }


def _read_committed_metrics(lineage: Lineage) -> dict[str, Metric]:
    commit = lineage.recorded_by
    text = lineage.history.read(commit, RECORD) if commit else None
    content = json.loads(text) if text else {}
    return {
        key: Metric(value)
        for key, value in content.items()
        if isinstance(value, int | float) and key != "best_images_seen"
    }


def compare(
    lineage: Lineage, expected: Expected, reproduction: ReproductionFolder
) -> list[Comparison]:
    """Run key, data, outs, metrics, and the subject itself if it is a file."""
    key, folder = lineage.subject.run_key, reproduction.folder  # the key was checked before
    meta = json.loads((folder / "cache/meta.json").read_bytes())
    return [
        Comparison("run key", key, key),
        Comparison("cache digest", lineage.cache_digest, meta["digest"]),
        *_compare_outs(expected, folder),
        *_compare_metrics(expected, folder),
        *_compare_subject(lineage, reproduction),
    ]


def _compare_outs(expected: Expected, folder: Path) -> list[Comparison]:
    snapshots = sorted((folder / "models/snapshots").glob("*.pt"))
    extra = [f"models/snapshots/{file.name}" for file in snapshots]
    if expected.digest_kind != "sha256" or not expected.outs:
        extra = []
    return [
        Comparison(
            name, expected.outs.get(name, ABSENT), _digest(folder / name, expected.digest_kind)
        )
        for name in dict.fromkeys([*expected.outs, *extra])
    ]


def _digest(path: Path, kind: str) -> str:
    if path.is_dir():
        return directory_md5(path)
    if not path.is_file():
        return ABSENT
    return hashlib.new(kind, path.read_bytes(), usedforsecurity=False).hexdigest()


def _compare_metrics(expected: Expected, folder: Path) -> list[Comparison]:
    if not expected.metrics:
        return []
    evaluation = json.loads((folder / "reports/evaluation.json").read_bytes())
    evaluated, metrics = evaluation["subject"]["images_seen"], _read_metrics(evaluation)
    if expected.evaluated not in (None, evaluated):
        say(
            "metrics are not compared: they are of checkpoints of "
            f"{expected.evaluated:,} and {evaluated:,} images seen"
        )
        return []
    return [
        Comparison(key, repr(each.value), repr(metrics[key].value) if key in metrics else ABSENT)
        for key, each in expected.metrics.items()
        if key not in metrics or each.protocol in ("", metrics[key].protocol)
    ]


def _compare_subject(lineage: Lineage, reproduction: ReproductionFolder) -> Iterator[Comparison]:
    """The subject's checkpoint, and its pixels if it is a picture of one seed."""
    subject = lineage.subject
    sha256 = subject.metadata.get("sha256")
    if sha256 is None or subject.kind == "run":
        return
    checkpoints = sorted((reproduction.folder / "models").rglob("*.pt"))
    files = {_digest(file, "sha256"): file for file in checkpoints}
    yield Comparison("its checkpoint", sha256, sha256 if sha256 in files else ABSENT)
    if sha256 in files and subject.kind == "picture" and subject.seeds.isdecimal():
        yield _compare_picture(lineage, files[sha256], reproduction)


def _compare_picture(
    lineage: Lineage, checkpoint: Path, reproduction: ReproductionFolder
) -> Comparison:
    subject, out = lineage.subject, reproduction.folder / "avatars"
    seeds, truncation = ["--seeds", subject.seeds], ["--truncation", f"{subject.truncation!r}"]
    command = ["generate", "--ckpt", str(checkpoint), *seeds, *truncation, "--out", str(out)]
    reproduction.run("pipeline.cli", *command)
    assert subject.file is not None
    picture = out / f"{int(subject.seeds):06d}.png"
    return Comparison("its pixels", _pixel_digest(subject.file), _pixel_digest(picture))


def _pixel_digest(file: Path) -> str:
    from PIL import Image

    with Image.open(file) as image:
        content = f"{image.mode}{image.size}".encode() + image.tobytes()
    return hashlib.sha256(content).hexdigest()


def format_lines(comparisons: list[Comparison]) -> Iterator[str]:
    """Aligned lines: equal or DIFFERS, name, value or both values."""
    width = max(len(each.name) for each in comparisons)
    for each in comparisons:
        change = "" if each.equal else f" -> {_shorten(each.reproduced)}"
        verdict = "equal" if each.equal else "DIFFERS"
        yield f"{verdict:<8} {each.name:<{width}}  {_shorten(each.original)}{change}"


def _shorten(value: str) -> str:
    return value[:SHORT] if len(value) > 2 * SHORT - 1 else value


def explain(
    expected: Expected, reproduction: ReproductionFolder, identity: Mapping[str, Any]
) -> str:
    """Whether another machine or torch is the reason of a difference, in one line."""
    from pipeline.tracking.provenance.tags import provenance_tags

    machine = provenance_tags(Paths(reproduction.folder), "train") | dict(identity)
    known = [key for key in MACHINE if key in expected.machine and key in machine]
    changed = [
        f"{key} {expected.machine[key]} -> {machine[key]}"
        for key in known
        if expected.machine[key] != machine[key]
    ]
    if changed:
        return f"the machine differs: {', '.join(changed)}; only an equal one repeats every bit"
    return f"the machine does not explain it: {', '.join(known) or 'torch'} did not change"
