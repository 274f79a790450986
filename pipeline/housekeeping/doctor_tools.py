"""`gan doctor` on the machine: Python, torch, Git, DVC, room on the disk."""

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

from gan.errors import GanError
from pipeline.housekeeping.doctor_point import Point, note, ok, wrong
from pipeline.paths import Paths
from pipeline.tracking.provenance.git import Git

INSTALL = "`make setup` installs all that is needed into .venv"
LITTLE, TOO_LITTLE = 5 << 30, 1 << 30  # bytes


def python() -> Point:
    """The interpreter, and whether it is one of those that the project is tested with."""
    text = f"Python {platform.python_version()} ({sys.prefix})"
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    return (
        ok(text) if fits else wrong(text, "3.11 to 3.13 is needed: make PYTHON=python3.12 setup")
    )


def torch() -> Point:
    """The version, and what `auto` chooses for device and precision."""
    try:
        import torch

        from gan.devices import choose_compute

        compute = choose_compute("auto", "auto")
    except (ImportError, OSError) as error:
        return wrong(f"torch can't be imported ({error})", INSTALL)
    except GanError as error:
        return wrong(f"torch {torch.__version__}: {error}")
    kind = compute.device.type
    device = torch.cuda.get_device_name() if kind == "cuda" else kind
    half = "bf16 is fast" if compute.precision == "bf16" else f"{compute.precision} is the fastest"
    return ok(f"torch {torch.__version__} on {device}, {torch.get_num_threads()} threads; {half}")


def git(paths: Paths) -> Point:
    """Whether runs can say which code they ran."""
    if shutil.which("git") is None:
        return wrong(
            "Git is not installed", "install it: DVC needs it, and runs name their commit"
        )
    asked = Git(paths.root)
    if asked.text("rev-parse", "--is-inside-work-tree") is None:
        return note(
            "no Git repository here", "runs can't say which code they ran; `git clone` one"
        )
    commit = asked.text("rev-parse", "--short", "HEAD")
    if commit is None:
        return note("a Git repository without a commit", "`git commit`, so that runs can name it")
    if not (asked.text("config", "user.name") and asked.text("config", "user.email")):
        remedy = "`git config user.name` and `user.email` set it; `dvc exp run` needs both"
        return note(f"Git at {commit} doesn't know who you are", remedy)
    changes = asked.text("status", "--porcelain")
    lines = len((changes or "").splitlines())
    return ok(f"Git at {commit}, " + (f"{lines} files changed" if lines else "nothing changed"))


def dvc(paths: Paths) -> Point:
    """Whether `dvc repro` can work here."""
    try:
        text = f"DVC {version('dvc')}"
    except PackageNotFoundError:
        return wrong("DVC is not installed", INSTALL)
    missing = [name for name in ("dvc.yaml", ".dvc") if not (paths.root / name).exists()]
    if missing:
        return wrong(
            f"{text}: no {' and no '.join(missing)} here", "go to the repository's folder"
        )
    return ok(text)


def disk(paths: Paths) -> Point:
    """Room where stages write, and whether they may."""
    root = paths.main_root
    if not os.access(root, os.W_OK):
        return wrong(f"{root} can't be written to", "no stage can work here")
    free = shutil.disk_usage(root).free
    text = f"{free / 2**30:,.1f} GiB of disk are free"
    if free >= LITTLE:
        return ok(text)
    advice = "`gan clean --remove` and `dvc gc -w` make room"
    return wrong(text, advice) if free < TOO_LITTLE else note(text, advice)
