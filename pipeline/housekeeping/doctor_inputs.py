"""`gan doctor` on what the stages read and write: settings, data, weights, outs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gan.errors import GanError
from gan.params.file import load_params
from pipeline.dataset.reader import Dataset
from pipeline.features.inception_file import missing_message, weights_file
from pipeline.housekeeping.doctor_point import Point, few, note, ok, wrong
from pipeline.paths import Paths


def params(paths: Paths) -> Point:
    """Whether params.yaml is valid."""
    try:
        load_params(paths.root / "params.yaml")
    except GanError as error:
        return wrong(str(error))
    return ok("params.yaml is valid")


def data(paths: Paths) -> Point:
    """Whether data/ is there, whole by names and sizes, and of the size that data.dvc pins."""
    if not paths.data.exists():
        return note("data/ is not here", "`dvc repro` or `gan scrape --ensure` brings it")
    try:
        dataset = Dataset.open(paths.data)
    except GanError as error:
        return wrong(str(error))
    what = f"data/: {dataset.counts.get('ok', 0):,} images, digest {dataset.digest[:12]}"
    pinned, size = _pinned_size(paths.pin), _size(paths.data)
    if pinned is None:
        return note(f"{what}; data.dvc pins nothing", "`dvc add data` does")
    if pinned != size:
        return note(
            f"{what}; {size:,} bytes, where data.dvc pins {pinned:,}",
            "`dvc add data` pins it, `dvc checkout data.dvc` undoes it",
        )
    return ok(what)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _pinned_size(pin: Path) -> int | None:
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
    """Whether the files that dvc.lock names are there; their contents are not looked at."""
    stages = _read(paths.root / "dvc.lock").get("stages")
    if not isinstance(stages, dict) or not stages:
        return note("dvc.lock names no outs", "`dvc repro` runs the stages")
    try:
        named = [str(out["path"]) for stage in stages.values() for out in stage.get("outs", ())]
    except (AttributeError, KeyError, TypeError):
        return wrong("dvc.lock is damaged", "`git checkout dvc.lock` brings it back")
    missing = [name for name in named if not (paths.root / name).exists()]
    if missing:
        advice = "`dvc checkout` or `dvc pull` brings them, else `dvc repro` makes them"
        return note(f"outs that are not here: {few(missing)}", advice)
    return ok(f"all {len(named)} outs of dvc.lock are here; `dvc status` says if they are current")


def weights(paths: Paths) -> Point:
    """Inception's weights, without which there is no FID."""
    file = weights_file(paths)
    if not file.is_file():
        return note(missing_message(paths))
    try:
        expected = load_params(paths.root / "params.yaml").features.inception_sha256
    except GanError:
        return note(f"weights/{file.name} is here, and params.yaml can't say which it should be")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        what = f"weights/{file.name}: sha256 is {found[:8]}, features.inception_sha256 says "
        return wrong(f"{what}{expected[:8]}", "`gan weights fetch` replaces it")
    return ok(f"weights/{file.name}: FID can be computed")
