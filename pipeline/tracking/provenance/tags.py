"""Provenance of a run as tags: code, data, experiment, machine and versions."""

import getpass
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from pipeline.console import without_secrets
from pipeline.dataset.dvc_cache import read_pinned_md5
from pipeline.paths import Paths
from pipeline.tracking.provenance.git import Git
from pipeline.tracking.provenance.uncommitted import SECRET, list_changes

PACKAGES = ("torch", "torchvision", "numpy", "mlflow", "dvc")


def provenance_tags(paths: Paths, stage: str) -> dict[str, str]:
    """Tags of a run of `stage` in this checkout; unknown ones are left out."""
    tags = {
        "stage": stage,
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME"),
        "dvc_exp_baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        "world_size": os.environ.get("WORLD_SIZE"),
        "mlflow.source.name": f"gan {stage}",
        "mlflow.source.type": "LOCAL",
        **_code_tags(paths.root),
        **dict(_other_tags(paths.pin)),
    }
    return {key: value for key, value in tags.items() if value}


def _code_tags(root: Path) -> dict[str, str | None]:
    """Commit, uncommitted changes, branch, remote.

    Some twice, also by the names of which MLflow's UI makes links.
    """
    git = Git(root)
    commit = git.text("rev-parse", "--verify", "HEAD")
    changes = list_changes(git)
    branch = git.text("symbolic-ref", "--short", "HEAD")
    remote = without_secrets(re.sub(r"[?#].*", "", git.text("remote", "get-url", "origin") or ""))
    # unknown if Git was too slow, so that no commit passes for clean; secrets are no code
    dirty = None if changes is None else any(change.secret != SECRET for change in changes)
    return {
        "git_commit": commit,
        "git_dirty": ("unknown" if dirty is None else str(dirty).lower()) if commit else None,
        "git_branch": branch,
        "git_remote": remote,
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": branch,
        "mlflow.source.git.repoURL": remote,
    }


def _other_tags(pin: Path) -> Iterator[tuple[str, str]]:
    """Data, user, machine and versions, as far as they can be found out."""
    with suppress(OSError):
        yield "data_md5", read_pinned_md5(pin.read_text(errors="replace"))
    with suppress(OSError, KeyError):  # no such user in a container
        yield "mlflow.user", getpass.getuser()
    yield "hardware.host", platform.node()
    yield "hardware.cpu", _processor()
    yield "hardware.cores", str(os.cpu_count())
    with suppress(Exception):  # hidden in some containers
        yield "hardware.memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    yield "os", platform.platform()
    yield "version.python", platform.python_version()
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"version.{package}", version(package)
    torch = sys.modules.get("torch")  # only if it is imported already, for that takes seconds
    with suppress(Exception):  # a driver that is too old, say
        if torch and torch.cuda.is_available():
            count = torch.cuda.device_count()
            yield "hardware.gpu", ", ".join(map(torch.cuda.get_device_name, range(count)))
            yield "version.cuda", str(torch.version.cuda)
            yield "version.cudnn", str(torch.backends.cudnn.version())


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
