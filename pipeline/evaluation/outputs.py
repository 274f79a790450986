"""Files of an evaluation: JSON, pictures and the report, with no time, host or path in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.metrics.thumbnails import Thumbnails
from gan.sampling import GRID_COLUMNS, GRID_NAME
from gan.tensor_cache import TensorCache
from pipeline.evaluation.closest_sheet import closest_sheet
from pipeline.evaluation.evaluate_subject import Evaluation
from pipeline.evaluation.report import report_html
from pipeline.evaluation.result import CheckpointFacts
from pipeline.number_ranges import evenly_spaced
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import contact_sheet, encode_png
from pipeline.pictures.png_lineage import make_text_chunks

MAX_REALS = 64  # beside the grid


def write_reports(evaluation: Evaluation, cache: TensorCache, paths: Paths) -> None:
    """Write the stage's outs in reports/: metrics and curve for DVC, pictures, report, result."""
    selection = evaluation.result.selection
    assert selection is not None
    rows = [f"{seen}\t{distance}" for seen, distance in selection.curve]
    table = "\n".join(["images_seen\tdistance", *rows]) + "\n"
    write_atomically(paths.reports / "snapshots.tsv", table)
    _write(evaluation, cache, paths.reports, grid="best.png", images="best_images_seen")


def write_folder(evaluation: Evaluation, cache: TensorCache | None, folder: Path) -> None:
    """Write the files of one checkpoint's or folder's evaluation into a folder of the user's."""
    _write(evaluation, cache, folder, grid="grid.png", images="images_seen")


def _write(
    evaluation: Evaluation, cache: TensorCache | None, folder: Path, *, grid: str, images: str
) -> None:
    """Write all files. grid: name of the grid's; images: metrics.json's key of the images seen."""
    pictures = _pictures(evaluation, cache)
    for key, name in (
        ("grid", grid),
        ("closest", "closest.png"),
        ("interpolation", "interpolation.png"),
    ):
        if key in pictures:
            write_atomically(folder / name, pictures[key])
    write_atomically(folder / "metrics.json", _metrics_json(evaluation, images))
    write_atomically(folder / "evaluation.json", evaluation.result.to_text())
    write_atomically(folder / "report.html", report_html(evaluation.result, pictures))


def check_out(out: Path, paths: Paths) -> None:
    """Create the folder of --out; GanError if it isn't one, or lies in an out of DVC's stages."""
    owned = (paths.data, paths.cache, paths.reference, paths.models, paths.reports)
    for folder in (out.resolve(), *out.resolve().parents):
        if folder in [each.resolve() for each in owned]:
            raise GanError(f"{out}: {folder.name}/ belongs to DVC's stages; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise GanError(f"{out}: it or a parent is a file; choose a folder for --out") from None


def _pictures(evaluation: Evaluation, cache: TensorCache | None) -> dict[str, bytes]:
    result, text = evaluation.result, None
    if isinstance(result.subject, CheckpointFacts):
        text = make_text_chunks(result.subject.model_dump(), GRID_NAME)
    test = result.memorisation.get(Thumbnails.name)
    pictures = {
        "grid": encode_png(contact_sheet(evaluation.grid, GRID_COLUMNS), text),
        "closest": encode_png(closest_sheet(evaluation.closest, test)),
    }
    if evaluation.interpolations is not None:
        sheet = contact_sheet(evaluation.interpolations, GRID_COLUMNS)
        pictures["interpolation"] = encode_png(sheet, text)
    if cache is not None:
        train = cache.split("train")
        reals = np.asarray(train[evenly_spaced(len(train), MAX_REALS)])
        pictures["reals"] = encode_png(contact_sheet(reals, GRID_COLUMNS))
    return pictures


def _metrics_json(evaluation: Evaluation, images_key: str) -> str:
    """Compose metrics.json for `dvc metrics`: a value by key, then the deviations."""
    subject = evaluation.result.subject
    content: dict[str, Any] = dict(evaluation.metrics)
    if isinstance(subject, CheckpointFacts):
        content |= {images_key: subject.images_seen, "run_key": subject.run_key[:16]}
    if evaluation.deviations:
        content["deviation"] = evaluation.deviations
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
