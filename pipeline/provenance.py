"""Where a run comes from: commit, data and experiment, as tags."""

import getpass
import os
import subprocess
from pathlib import Path

import yaml

from pipeline.paths import Paths

WRITTEN_BY_STAGES = (":!dvc.lock", ":!reports")  # a running `dvc repro` changes them: not "dirty"


def origin(paths: Paths, stage: str) -> dict[str, str]:
    """Tags of a run of `stage` in this checkout; what can't be found out is left out."""
    commit = _git(paths.root, "rev-parse", "HEAD")
    changes = _git(paths.root, "status", "--porcelain", "--", ".", *WRITTEN_BY_STAGES)
    tags = {
        "stage": stage,
        "git_commit": commit,
        "git_dirty": None if changes is None else str(bool(changes)).lower(),
        "data_md5": _data_md5(paths.pin),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME"),
        "mlflow.user": _user(),
        "mlflow.source.name": f"gan {stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit,
    }
    return {key: value for key, value in tags.items() if value}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


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
