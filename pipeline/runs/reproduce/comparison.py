"""Comparison of a run's recorded results with their reproduction."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gan.errors import GanError
from pipeline.console import say
from pipeline.dataset.dvc_cache import directory_md5, read_locked_outs
from pipeline.paths import Paths, sha256_of
from pipeline.runs.lineage.git_history import RECORD
from pipeline.runs.lineage.trace import Lineage
from pipeline.runs.reproduce.checkout import ReproductionFolder
from pipeline.training.identity import differences

OUTS = "lineage/outs.json"
EVALUATION = "evaluation/evaluation.json"

MACHINE = ("torch", "device", "precision", "hardware.cpu", "hardware.gpu", "version.numpy")
"""Tags on which exact bits depend besides the run key."""

SHORT = 16  # digits of a digest in the output

ABSENT = "missing"

Metric = tuple[float, str]
"""Value and protocol: only equal ones compare, "" with any."""


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
class Expected:
    """Recorded results of a run. outs: digests by path; md5 where only DVC recorded them.

    machine: values by tag of MACHINE. evaluated: images seen by the checkpoint that the metrics
    are of, if recorded.
    """

    machine: Mapping[str, Any]
    outs: Mapping[str, str]
    md5: bool
    metrics: Mapping[str, Metric]
    evaluated: int | None


def read_expected(lineage: Lineage) -> Expected:
    """Results from the artefacts of the MLflow run, else from the commit that records the run."""
    commit, history = lineage.recorded_by, lineage.history
    recorded, evaluation = _read_artifact(lineage, OUTS), _read_artifact(lineage, EVALUATION)
    machine = {key: value for key in MACHINE if (value := lineage.tag(key))}
    outs, metrics = recorded.get("outs", {}), _read_metrics(evaluation)
    md5 = not outs and commit is not None
    if commit and not outs:
        outs = read_locked_outs(history.read(commit, "dvc.lock"), "train")
    if commit and not metrics:
        committed = json.loads(history.read(commit, RECORD) or "{}")
        numbers = {key: each for key, each in committed.items() if isinstance(each, int | float)}
        metrics = {key: (each, "") for key, each in numbers.items() if key != "best_images_seen"}
    evaluated = evaluation.get("subject", {}).get("images_seen")
    return Expected(machine | recorded.get("identity", {}), outs, md5, metrics, evaluated)


def _read_artifact(lineage: Lineage, name: str) -> dict[str, Any]:
    """JSON object of an artefact, {} if the run doesn't have it; GanError if it is damaged."""
    try:
        return dict(json.loads(lineage.read_artifact(name) or "{}"))
    except (ValueError, TypeError):
        raise GanError(
            f"{lineage.name}: its artefact {name} is damaged: no JSON object; `gan ui` shows it"
        ) from None


def _read_metrics(evaluation: Mapping[str, Any]) -> dict[str, Metric]:
    """Metrics of an evaluation.json; {} for an empty one."""
    metrics = evaluation.get("metrics", {})
    return {key: (each["value"], each["protocol"]) for key, each in metrics.items()}


def compare(
    lineage: Lineage, expected: Expected, reproduction: ReproductionFolder
) -> Iterator[Comparison]:
    """Run key, data, outs, metrics, and the subject itself if it is a file."""
    key, folder = lineage.subject.run_key, reproduction.folder
    yield Comparison("run key", key, key)  # it was checked before the training
    digest = json.loads((folder / "cache/meta.json").read_bytes())["digest"]
    yield Comparison("cache digest", lineage.cache_digest, digest)
    names = list(expected.outs)
    if names and not expected.md5:  # DVC has the snapshots as one folder
        found = (folder / "models/snapshots").glob("*.pt")
        names += sorted(f"models/snapshots/{file.name}" for file in found)
    for name in dict.fromkeys(names):
        original = expected.outs.get(name, ABSENT)
        yield Comparison(name, original, _digest(folder / name, expected.md5))
    if expected.metrics:
        yield from _compare_metrics(expected, folder)
    if lineage.subject.kind != "run" and lineage.subject.metadata.get("sha256"):
        yield from _compare_subject(lineage, reproduction)


def _digest(path: Path, md5: bool) -> str:
    if path.is_dir():
        return directory_md5(path)
    if not path.is_file():
        return ABSENT
    if md5:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return sha256_of(path)


def _compare_metrics(expected: Expected, folder: Path) -> Iterator[Comparison]:
    evaluation = json.loads((folder / "reports/evaluation.json").read_bytes())
    evaluated, metrics = evaluation["subject"]["images_seen"], _read_metrics(evaluation)
    if expected.evaluated not in (None, evaluated):
        say(
            "metrics are not compared: they are of checkpoints of "
            f"{expected.evaluated:,} and {evaluated:,} images seen"
        )
        return
    for key, (value, protocol) in expected.metrics.items():
        again = metrics.get(key)
        if again is None or protocol in ("", again[1]):
            yield Comparison(key, repr(value), repr(again[0]) if again else ABSENT)


def _compare_subject(lineage: Lineage, reproduction: ReproductionFolder) -> Iterator[Comparison]:
    """The subject's checkpoint, and its pixels if it is a picture of one seed."""
    subject, sha256 = lineage.subject, lineage.subject.metadata["sha256"]
    files = {sha256_of(file): file for file in (reproduction.folder / "models").rglob("*.pt")}
    yield Comparison("its checkpoint", sha256, sha256 if sha256 in files else ABSENT)
    if sha256 in files and subject.kind == "picture" and subject.seeds.isdecimal():
        out = reproduction.folder / "avatars"
        options = ("--seeds", subject.seeds, "--truncation", f"{subject.truncation!r}")
        place = ("--ckpt", str(files[sha256]), "--out", str(out))
        reproduction.run("pipeline.cli", "generate", *options, *place)
        again = _digest_pixels(out / f"{int(subject.seeds):06d}.png")
        yield Comparison("its pixels", _digest_pixels(Path(subject.given)), again)


def _digest_pixels(file: Path) -> str:
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


def explain(original: Mapping[str, Any], folder: Path, identity: Mapping[str, Any]) -> str:
    """Whether another machine or torch is the reason of a difference, in one line.

    original: the run's values by tag of MACHINE. identity: that of the training in `folder`.
    """
    from pipeline.tracking.provenance.tags import provenance_tags

    machine = provenance_tags(Paths(folder), "train") | dict(identity)
    known = [key for key in MACHINE if key in original and key in machine]
    changed = differences(*({key: side[key] for key in known} for side in (original, machine)))
    if changed:
        return f"the machine differs: {', '.join(changed)}; only an equal one repeats every bit"
    return f"the machine does not explain it: {', '.join(known) or 'torch'} did not change"
