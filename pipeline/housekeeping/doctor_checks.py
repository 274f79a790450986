"""Checks of `gan doctor` on the machine and on the inputs of the stages."""

import os
import platform
import shutil
import sys
from importlib.metadata import version

from gan.errors import GanError
from gan.params.file import load_params
from pipeline.dataset.reader import Dataset
from pipeline.features.inception_file import missing_message, weights_file
from pipeline.housekeeping.doctor_point import Point, note, ok, wrong
from pipeline.paths import Paths, sha256_of
from pipeline.tracking.provenance.git import Git

LOW, TOO_LOW = 5 << 30, 1 << 30  # bytes


def check_python(paths: Paths) -> Point:
    """Check that the interpreter's version is one that the project is tested with."""
    text = f"Python {platform.python_version()} ({sys.prefix})"
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return ok(text)
    return wrong(text, "3.11 to 3.13 is required: `make PYTHON=python3.12 setup`")


def check_torch(paths: Paths) -> Point:
    """Check torch, and show the device and precision that `auto` chooses."""
    import torch

    from gan.devices import choose_compute

    compute = choose_compute("auto", "auto")
    kind = compute.device.type
    device = torch.cuda.get_device_name() if kind == "cuda" else kind
    half = "bf16 is fast" if compute.precision == "bf16" else f"{compute.precision} is the fastest"
    return ok(f"torch {torch.__version__} on {device}, {torch.get_num_threads()} threads; {half}")


def check_repository(paths: Paths) -> Point:
    """Check that `dvc repro` can run, and that runs can record their commit."""
    missing = [name for name in ("dvc.yaml", ".dvc") if not (paths.root / name).exists()]
    if missing:
        text = f"{paths.root}: no {' and no '.join(missing)}"
        return wrong(text, "change to the repository's folder")
    git = Git(paths.root)
    commit = git.text("rev-parse", "--short", "HEAD")
    if commit is None:
        remedy = "install Git and `git commit`, so that runs can record it"
        return note("no commit of a Git repository", remedy)
    lines = len((git.text("status", "--porcelain") or "").splitlines())
    changes = f"{lines} files changed" if lines else "no changes"
    return ok(f"DVC {version('dvc')}, Git at {commit}, {changes}; `dvc status` compares the outs")


def check_disk(paths: Paths) -> Point:
    """Check disk space and permission in the repository."""
    root = paths.main_root
    if not os.access(root, os.W_OK):
        return wrong(f"{root} is not writable", "change its owner or mode: the stages write there")
    free = shutil.disk_usage(root).free
    level = ok if free >= LOW else note if free >= TOO_LOW else wrong
    text = f"{free / 2**30:,.1f} GiB of disk space are free"
    return level(text, "" if free >= LOW else "`gan clean --remove` and `dvc gc -w` free some")


def check_params(paths: Paths) -> Point:
    """Check params.yaml."""
    load_params(paths.root / "params.yaml")
    return ok("params.yaml is valid")


def check_data(paths: Paths) -> Point:
    """Check names and sizes of the files in data/."""
    if not paths.data.exists():
        return note("data/ is absent", "`dvc repro` or `gan scrape --ensure` brings it")
    dataset = Dataset.open(paths.data)
    return ok(f"data/: {dataset.counts.get('ok', 0):,} images, digest {dataset.digest[:12]}")


def check_weights(paths: Paths) -> Point:
    """Check Inception's weights, without which there is no FID."""
    file = weights_file(paths)
    if not file.is_file():
        return note(missing_message(paths))
    try:
        expected = load_params(paths.root / "params.yaml").features.inception_sha256
    except GanError:
        return note(f"weights/{file.name}: its sha256 can't be checked without params.yaml")
    if (found := sha256_of(file)) != expected:
        text = f"weights/{file.name}: sha256 is {found[:8]}, features.inception_sha256 says "
        return wrong(f"{text}{expected[:8]}", "`gan weights fetch` replaces it")
    return ok(f"weights/{file.name}: FID can be computed")
