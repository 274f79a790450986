"""Checks of `gan doctor` on inputs and outs of the stages: params, data, weights, outs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gan.errors import GanError
from gan.params.file import load_params
from pipeline.console import list_first
from pipeline.dataset.reader import Dataset
from pipeline.features.inception_file import missing_message, weights_file
from pipeline.housekeeping.doctor_point import Point, note, ok, wrong
from pipeline.paths import Paths


def params(paths: Paths) -> Point:
    """Check params.yaml."""
    try:
        load_params(paths.root / "params.yaml")
    except GanError as error:
        return wrong(str(error))
    return ok("params.yaml is valid")


def data(paths: Paths) -> Point:
    """Check names and sizes of data/, and the size that data.dvc pins."""
    if not paths.data.exists():
        return note("data/ is absent", "`dvc repro` or `gan scrape --ensure` brings it")
    try:
        dataset = Dataset.open(paths.data)
    except GanError as error:
        return wrong(str(error))
    text = f"data/: {dataset.counts.get('ok', 0):,} images, digest {dataset.digest[:12]}"
    pinned, size = _read_pinned_size(paths.pin), _size(paths.data)
    if pinned is None:
        return note(f"{text}; data.dvc pins nothing", "`dvc add data` pins it")
    if pinned != size:
        return note(
            f"{text}; {size:,} bytes, but data.dvc pins {pinned:,}",
            "`dvc add data` pins this one, `dvc checkout data.dvc` restores the pinned one",
        )
    return ok(text)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _read_pinned_size(pin: Path) -> int | None:
    values = _read(pin)
    try:
        return int(values["outs"][0]["size"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def outs(paths: Paths) -> Point:
    """Check that the files that dvc.lock names exist; their contents are not read."""
    stages = _read(paths.root / "dvc.lock").get("stages")
    if not isinstance(stages, dict) or not stages:
        return note("dvc.lock has no outs", "`dvc repro` runs the stages")
    try:
        outs = [str(out["path"]) for stage in stages.values() for out in stage.get("outs", ())]
    except (AttributeError, KeyError, TypeError):
        return wrong("dvc.lock is damaged", "`git checkout dvc.lock` restores it")
    missing = [name for name in outs if not (paths.root / name).exists()]
    if missing:
        remedy = "`dvc checkout` or `dvc pull` brings them, else `dvc repro` makes them"
        return note(f"absent outs: {list_first(missing)}", remedy)
    return ok(f"all {len(outs)} outs of dvc.lock exist; `dvc status` compares their contents")


def weights(paths: Paths) -> Point:
    """Check Inception's weights, without which there is no FID."""
    file = weights_file(paths)
    if not file.is_file():
        return note(missing_message(paths))
    try:
        expected = load_params(paths.root / "params.yaml").features.inception_sha256
    except GanError:
        return note(f"weights/{file.name}: its sha256 can't be checked without params.yaml")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        text = f"weights/{file.name}: sha256 is {found[:8]}, features.inception_sha256 says "
        return wrong(f"{text}{expected[:8]}", "`gan weights fetch` replaces it")
    return ok(f"weights/{file.name}: FID can be computed")
