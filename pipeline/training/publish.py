"""Publication of a finished training: from the progress folder to the outs."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from gan.sampling import GRID_COLUMNS
from gan.tensor_cache import TensorCache
from pipeline.paths import Paths, sha256_of
from pipeline.pictures.contact_sheet import contact_sheet, save_png
from pipeline.training.progress_folder import ProgressFolder

REAL_IMAGES = 64
"""Training images on the sheet that stands beside the grids."""


def draw_real_sheet(cache: TensorCache, file: Path) -> Path:
    """Draw the sheet of training images; returns the file."""
    save_png(contact_sheet(cache.split("train")[:REAL_IMAGES], GRID_COLUMNS), file)
    return file


def write_digests(paths: Paths, file: Path, about: Mapping[str, Any]) -> Path:
    """Write `about` and the sha256 of all that `publish` put in place; returns the file."""
    outs = [paths.models / "final.pt", *sorted((paths.models / "snapshots").glob("[0-9]*.pt"))]
    outs += [paths.reports / "losses.tsv", paths.reports / "samples.png"]
    digests = {
        out.relative_to(paths.root).as_posix(): sha256_of(out) for out in outs if out.is_file()
    }
    content = {**about, "outs": digests}
    write_atomically(file, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return file


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
