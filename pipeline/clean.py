"""`gan clean`: progress folders of trainings, listed or removed."""

import json
import shutil
import sys
from pathlib import Path

from pipeline.paths import Paths
from pipeline.unfinished import Unfinished, in_use


def run(paths: Paths, *, remove: bool) -> None:
    """List the folders from which trainings can go on; with `remove` delete those not in use."""
    folders = sorted(path.parent for path in paths.progress.glob("*/identity.json"))
    for folder in folders:
        busy, described = in_use(folder), _describe(folder)
        if remove and not busy:
            shutil.rmtree(folder)
        state = "in use" if busy else "removed" if remove else "idle"
        sys.stdout.write(f"{folder.name}  {described}  {state}\n")
    if not folders:
        sys.stdout.write("no trainings to go on from\n")
    elif not remove:
        sys.stdout.write("gan clean --remove deletes the idle ones\n")


def _describe(folder: Path) -> str:
    identity = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
    states = sorted(folder.glob("state-*.pt"))
    seen = Unfinished.seen(states[-1]) if states else 0
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    done = "finished" if (folder / "finished").is_file() else "unfinished"
    train = identity["train"]
    return f"{train['objective']} s{train['seed']}  {seen:,} images, {done}, {size >> 20} MiB"
