"""Checks of `gan doctor` on the machine: Python, torch, Git, DVC, disk space."""

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

from gan.errors import GanError
from pipeline.housekeeping.doctor_point import Point, note, ok, wrong
from pipeline.paths import Paths
from pipeline.tracking.provenance.git import Git

INSTALL = "`make setup` installs all requirements into .venv"
LOW, TOO_LOW = 5 << 30, 1 << 30  # bytes


def python() -> Point:
    """Check that the interpreter's version is one that the project is tested with."""
    text = f"Python {platform.python_version()} ({sys.prefix})"
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    return (
        ok(text)
        if fits
        else wrong(text, "3.11 to 3.13 is required: `make PYTHON=python3.12 setup`")
    )


def torch() -> Point:
    """Check torch, and show the device and precision that `auto` chooses."""
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
    """Check that runs can record their commit."""
    if shutil.which("git") is None:
        return wrong(
            "Git is not installed", "install it: DVC needs it, and runs record their commit"
        )
    asked = Git(paths.root)
    if asked.text("rev-parse", "--is-inside-work-tree") is None:
        return note("no Git repository", "runs can't record their commit; `git clone` one")
    commit = asked.text("rev-parse", "--short", "HEAD")
    if commit is None:
        return note(
            "a Git repository without a commit", "`git commit`, so that runs can record it"
        )
    if not (asked.text("config", "user.name") and asked.text("config", "user.email")):
        remedy = "`git config user.name` and `user.email` set them; `dvc exp run` needs both"
        return note(f"Git at {commit}: no name or e-mail address is set", remedy)
    changes = asked.text("status", "--porcelain")
    lines = len((changes or "").splitlines())
    return ok(f"Git at {commit}, " + (f"{lines} files changed" if lines else "no changes"))


def dvc(paths: Paths) -> Point:
    """Check that `dvc repro` can run."""
    try:
        text = f"DVC {version('dvc')}"
    except PackageNotFoundError:
        return wrong("DVC is not installed", INSTALL)
    missing = [name for name in ("dvc.yaml", ".dvc") if not (paths.root / name).exists()]
    if missing:
        return wrong(f"{text}: no {' and no '.join(missing)}", "change to the repository's folder")
    return ok(text)


def disk(paths: Paths) -> Point:
    """Check disk space and permission in the repository."""
    root = paths.main_root
    if not os.access(root, os.W_OK):
        return wrong(f"{root} is not writable", "change its owner or mode: the stages write there")
    free = shutil.disk_usage(root).free
    text = f"{free / 2**30:,.1f} GiB of disk space are free"
    if free >= LOW:
        return ok(text)
    remedy = "`gan clean --remove` and `dvc gc -w` free some"
    return wrong(text, remedy) if free < TOO_LOW else note(text, remedy)
