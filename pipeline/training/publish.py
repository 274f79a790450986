"""Publication of a finished training: from the progress folder to the outs."""

import hashlib
import json
import shutil
from pathlib import Path

from gan.atomic import write_atomically
from pipeline.paths import Paths
from pipeline.training.progress_folder import ProgressFolder


def write_digests(paths: Paths, folder: ProgressFolder, run_key: str) -> Path:
    """Write a file with the sha256 of everything that `publish` put in place; returns it."""
    files = [paths.models / "final.pt", *sorted((paths.models / "snapshots").glob("*.pt"))]
    files += [paths.reports / "losses.tsv", paths.reports / "samples.png"]
    outs = {
        file.relative_to(paths.root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    written = folder.path / "outs.json"
    content = {"run_key": run_key, "identity": folder.identity, "outs": outs}
    write_atomically(written, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return written


def publish(paths: Paths, folder: ProgressFolder) -> None:
    """Put the results in place of the outs, each in one step."""
    paths.models.mkdir(parents=True, exist_ok=True)
    partial = paths.models / ".snapshots.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        # not what a kill in the middle of writing left: that is hidden
        for snapshot in folder.snapshots.glob("[0-9]*.pt"):
            write_atomically(partial / snapshot.name, snapshot.read_bytes())
        shutil.rmtree(paths.models / "snapshots", ignore_errors=True)
        partial.replace(paths.models / "snapshots")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    write_atomically(paths.models / "final.pt", folder.states[-1].read_bytes())
    write_atomically(paths.reports / "losses.tsv", folder.losses.read_bytes())
    grid = max(folder.grids.glob("[0-9]*.png"))
    write_atomically(paths.reports / "samples.png", grid.read_bytes())
