"""Folders in which tests train for real: how they begin, what lies in them, waiting for it."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.paths import Paths

REPOSITORY = Path(__file__).resolve().parents[2]
REFUSED = "http://127.0.0.1:9"
"""Where no tracker listens: that it is down must not matter."""


def environment(home: Path) -> dict[str, str]:
    """One for a process that no tracker hears."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": REFUSED,
    }


def without_tracker(patch: pytest.MonkeyPatch) -> None:
    """Let what this process trains be heard by nobody, as outside of DVC."""
    patch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    patch.delenv("DVC_ROOT", raising=False)


def new_checkout(folder: Path, cache: Path) -> Paths:
    """A folder in which a training can run."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(cache, folder / "cache")
    return Paths(folder)


def outs(paths: Paths) -> dict[str, bytes]:
    """Content of every file that the stage hands over, by name."""
    files = [*paths.models.rglob("*"), *paths.reports.rglob("*")]
    return {str(f.relative_to(paths.root)): f.read_bytes() for f in files if f.is_file()}


def work_folder(paths: Paths) -> Path:
    """Where the one training of a checkout is worked at."""
    (folder,) = paths.progress.iterdir()
    return folder


def states(paths: Paths) -> list[Path]:
    """The checkpoints to go on from, oldest first."""
    return sorted(paths.progress.glob("*/state-*.pt"))


def seen_by(state: Path) -> int:
    """Images seen at a checkpoint, by its name."""
    return int(state.stem.removeprefix("state-"))


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 120
) -> None:
    """Until `condition` holds, while the process runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
