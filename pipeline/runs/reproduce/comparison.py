"""What a run left behind against what came of making it again."""

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
from pipeline.runs.lineage.dvc_cache import locked_outs
from pipeline.runs.lineage.git_history import RECORD
from pipeline.runs.lineage.trace import Lineage
from pipeline.runs.lineage.tracked_row import EVALUATION, OUTS
from pipeline.runs.reproduce.checkout import Again

MACHINE = ("torch", "device", "precision", "hardware.cpu", "hardware.gpu", "version.numpy")
"""What bits depend on beside the run key."""

SHORT = 16  # digits of a digest in the table

ABSENT = "missing"


@dataclass(frozen=True)
class Row:
    """One comparison: what the run had, what it has now."""

    name: str
    then: str
    now: str

    @property
    def equal(self) -> bool:
        return self.then == self.now


@dataclass(frozen=True)
class Metric:
    """A number of the run's evaluation; protocol: only equal ones compare, "" for any."""

    value: float
    protocol: str = ""


@dataclass(frozen=True)
class Expected:
    """What is known of the run's results. outs: digests by path; by: sha256 or md5.

    identity: with which torch and on which device; decided: what its run key is the digest of.
    """

    decided: Mapping[str, Any]
    identity: Mapping[str, Any]
    by: str = "sha256"
    outs: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    judged: int | None = None
    """Images seen by the checkpoint that these metrics are of, where that is said."""


def expected(found: Lineage) -> Expected:
    """From the row's files, else from the commit that records the run."""
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        row, into = found.row, Path(folder)
        outs = (row.read(OUTS, into) if row else None) or {}
        evaluation = (row.read(EVALUATION, into) if row else None) or {}
    tags = row.row.tags if row else {}
    identity = {key: tags[key] for key in MACHINE if key in tags} | outs.get("identity", {})
    hashes, by = outs.get("outs", {}), "sha256"
    if not hashes and found.recorded:
        lock = found.commits.read(found.recorded, "dvc.lock")
        hashes, by = locked_outs(lock, "train"), "md5"
    metrics = _evaluated(evaluation) or _recorded(found)
    judged = evaluation.get("subject", {}).get("images_seen")
    return Expected(found.subject.decided, identity, by, hashes, metrics, judged)


def _evaluated(content: Mapping[str, Any]) -> dict[str, Metric]:
    """Numbers of an evaluation.json, {} where there is none."""
    return {
        key: Metric(each["value"], each["protocol"])
        for key, each in content.get("metrics", {}).items()
    }


def _recorded(found: Lineage) -> dict[str, Metric]:
    text = found.commits.read(found.recorded, RECORD) if found.recorded else None
    content = json.loads(text) if text else {}
    return {
        key: Metric(value)
        for key, value in content.items()
        if isinstance(value, int | float) and key != "best_images_seen"
    }


def compared(found: Lineage, wanted: Expected, again: Again) -> list[Row]:
    """Row by row: run key, data, files, numbers, and the subject itself if it is a file."""
    key = found.subject.run_key  # checked before it trained
    meta = json.loads((again.folder / "cache/meta.json").read_bytes())
    rows = [Row("run key", key, key), Row("cache digest", found.cache_digest, meta["digest"])]
    rows += _outs(wanted, again.folder)
    rows += _metrics(wanted, again.folder)
    return rows + list(_subject(found, again))


def _outs(wanted: Expected, folder: Path) -> list[Row]:
    snapshots = [f"models/snapshots/{file.name}" for file in _snapshots(folder)]
    extra = snapshots if wanted.by == "sha256" and wanted.outs else []
    names = dict.fromkeys([*wanted.outs, *extra])
    return [
        Row(name, wanted.outs.get(name, ABSENT), _digest(folder / name, wanted.by))
        for name in names
    ]


def _snapshots(folder: Path) -> list[Path]:
    return sorted((folder / "models/snapshots").glob("*.pt"))


def _digest(path: Path, by: str) -> str:
    if path.is_dir():
        return directory_md5(path)
    if not path.is_file():
        return ABSENT
    return hashlib.new(by, path.read_bytes(), usedforsecurity=False).hexdigest()


def _metrics(wanted: Expected, folder: Path) -> list[Row]:
    if not wanted.metrics:
        return []
    content = json.loads((folder / "reports/evaluation.json").read_bytes())
    judged, now = content["subject"]["images_seen"], _evaluated(content)
    if wanted.judged not in (None, judged):
        say(f"not compared: metrics, which are of other checkpoints ({wanted.judged}, {judged})")
        return []
    return [
        Row(key, repr(each.value), repr(now[key].value) if key in now else ABSENT)
        for key, each in wanted.metrics.items()
        if key not in now or each.protocol in ("", now[key].protocol)
    ]


def _subject(found: Lineage, again: Again) -> Iterator[Row]:
    """The checkpoint that was pointed at, and a picture of one seed."""
    wanted = found.subject.said.get("sha256")
    if wanted is None or found.subject.kind == "run":
        return
    files = {_digest(f, "sha256"): f for f in sorted((again.folder / "models").rglob("*.pt"))}
    yield Row("its checkpoint", wanted, wanted if wanted in files else ABSENT)
    if wanted in files and found.subject.kind == "picture" and found.subject.seeds.isdecimal():
        yield _picture(found, files[wanted], again)


def _picture(found: Lineage, checkpoint: Path, again: Again) -> Row:
    subject, out = found.subject, again.folder / "avatars"
    seeds, truncation = ["--seeds", subject.seeds], ["--truncation", f"{subject.truncation!r}"]
    command = ["generate", "--ckpt", str(checkpoint), *seeds, *truncation, "--out", str(out)]
    again.runs("pipeline.cli", *command)
    assert subject.file is not None
    return Row("its pixels", _pixels(subject.file), _pixels(out / f"{int(subject.seeds):06d}.png"))


def _pixels(file: Path) -> str:
    from PIL import Image

    with Image.open(file) as image:
        content = f"{image.mode}{image.size}".encode() + image.tobytes()
    return hashlib.sha256(content).hexdigest()


def table(rows: list[Row]) -> Iterator[str]:
    """Aligned lines: equal or differs, name, what it was and is."""
    width = max(len(row.name) for row in rows)
    for row in rows:
        shown = _short(row.then) + ("" if row.equal else f" -> {_short(row.now)}")
        yield f"{'equal' if row.equal else 'DIFFERS':<8} {row.name:<{width}}  {shown}"


def _short(value: str) -> str:
    return value[:SHORT] if len(value) > 2 * SHORT - 1 else value


def explained(wanted: Expected, again: Again, identity: Mapping[str, Any]) -> str:
    """Whether another machine or torch is the reason, in one line."""
    from pipeline.tracking.provenance.tags import origin

    now = origin(Paths(again.folder), "train") | dict(identity)
    both = [key for key in MACHINE if key in wanted.identity and key in now]
    if other := [
        f"{k} {wanted.identity[k]} -> {now[k]}" for k in both if wanted.identity[k] != now[k]
    ]:
        return f"another machine explains it: {', '.join(other)}; bits repeat on an equal one only"
    return f"nothing of the machine explains it: {', '.join(both) or 'torch'} are what they were"
