"""Files that a training makes for its MLflow run alone, made again from its outs."""

import hashlib
import json
from pathlib import Path

from gan.checkpoints import Origin
from gan.errors import GanError
from gan.sampling import GRID_COLUMNS
from gan.tensor_cache import TensorCache
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import contact_sheet, save_png
from pipeline.training.lead import REAL_IMAGES


def write_hashes(origin: Origin, paths: Paths, folder: Path) -> Path:
    """Write the sha256 of the outs to a file in `folder`; the training's machine is unknown."""
    files = [paths.models / "final.pt", *sorted((paths.models / "snapshots").glob("[0-9]*.pt"))]
    files += [paths.reports / "losses.tsv", paths.reports / "samples.png"]
    outs = {
        file.relative_to(paths.root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }
    target = folder / "outs.json"
    content = {"run_key": origin.run_key, "outs": outs}
    target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return target


def draw_real_sheet(origin: Origin, paths: Paths, folder: Path) -> Path | None:
    """Draw the sheet of training images; None if cache/ is missing or has other images."""
    try:
        cache = TensorCache.open(paths.cache)
    except GanError:
        return None
    if cache.digest != origin.cache_digest:
        return None
    file = folder / "real.png"
    save_png(contact_sheet(cache.split("train")[:REAL_IMAGES], GRID_COLUMNS), file)
    return file
