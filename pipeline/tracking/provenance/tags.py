"""Provenance of a run as tags: code, data, experiment, machine and versions."""

import contextlib
import getpass
import os
import platform
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import yaml

from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.tracking.provenance.git import Git
from pipeline.tracking.provenance.uncommitted import list_changed_files

PACKAGES = ("torch", "torchvision", "numpy", "mlflow", "dvc")


def provenance_tags(paths: Paths, stage: str) -> dict[str, str]:
    """Tags of a run of `stage` in this checkout; unknown ones are left out."""
    tags = {
        "stage": stage,
        "data_md5": _data_md5(paths.pin),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME"),
        "dvc_exp_baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        "world_size": os.environ.get("WORLD_SIZE"),
        "mlflow.user": _user(),
        "mlflow.source.name": f"gan {stage}",
        "mlflow.source.type": "LOCAL",
    }
    return (
        {k: v for k, v in tags.items() if v}
        | code_tags(paths.root)
        | dict(_hardware())
        | _versions()
    )


def code_tags(root: Path) -> dict[str, str]:
    """Tags of the checkout: commit, uncommitted changes, branch, remote.

    Some twice, also by the names of which MLflow's UI makes links.
    """
    git = Git(root)
    commit = git.text("rev-parse", "--verify", "HEAD")
    changes = list_changed_files(git)
    branch = git.text("symbolic-ref", "--short", "HEAD")
    remote = _remote_url(git.text("remote", "get-url", "origin"))
    tags = {
        "git_commit": commit,
        "git_dirty": _dirty(changes) if commit else None,
        "git_branch": branch,
        "git_remote": remote,
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": branch,
        "mlflow.source.git.repoURL": remote,
    }
    return {key: value for key, value in tags.items() if value}


def _dirty(changes: list[bytes] | None) -> str:
    """Value of `git_dirty`; `unknown` if Git was too slow, so that no commit passes for clean."""
    return "unknown" if changes is None else str(bool(changes)).lower()


def _remote_url(remote: str | None) -> str | None:
    """URL of a remote without user, password or token."""
    return without_secrets(re.sub(r"[?#].*", "", remote)) if remote else None


def _hardware() -> Iterator[tuple[str, str]]:
    yield "hardware.host", platform.node()
    yield "hardware.cpu", _processor()
    yield "hardware.cores", str(os.cpu_count())
    with contextlib.suppress(Exception):  # hidden in some containers
        yield "hardware.memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    if gpus := ", ".join(_gpus()):
        yield "hardware.gpu", gpus


@cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _torch() -> Any:
    """torch if it is imported already, for that takes seconds."""
    return sys.modules.get("torch")


def _gpus() -> Iterator[str]:
    torch = _torch()
    with contextlib.suppress(Exception):  # a driver that is too old, say
        for number in range(torch.cuda.device_count() if torch else 0):
            yield torch.cuda.get_device_name(number)


def _versions() -> dict[str, str]:
    found = {"os": platform.platform(), "version.python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[f"version.{package}"] = version(package)
    with contextlib.suppress(Exception):
        torch = _torch()
        if torch and torch.cuda.is_available():
            found["version.cuda"] = str(torch.version.cuda)
            found["version.cudnn"] = str(torch.backends.cudnn.version())
    return found


def _data_md5(pin: Path) -> str | None:
    try:
        return str(yaml.safe_load(pin.read_text(encoding="utf-8"))["outs"][0]["md5"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
        return None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in a container
        return None
