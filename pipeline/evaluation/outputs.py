"""Files of an evaluation: JSON, pictures and the report, with no time, host or path in them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.metrics.thumbnails import Thumbnails
from gan.sampling import GRID_COLUMNS, GRID_NAME
from gan.tensor_cache import Images, TensorCache
from pipeline.evaluation.closest_sheet import closest_sheet
from pipeline.evaluation.evaluate_subject import Evaluation
from pipeline.evaluation.report import report_html
from pipeline.number_ranges import evenly_spaced
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import contact_sheet, encode_png
from pipeline.pictures.png_lineage import make_text_chunks

MAX_REALS = 64  # beside the grid


def write_reports(evaluation: Evaluation, cache: TensorCache, paths: Paths) -> None:
    """Write the stage's outs in reports/: metrics and curve for DVC, pictures, report, result."""
    result, reports = evaluation.result, paths.reports
    pictures = _pictures(evaluation, cache)
    write_atomically(reports / "best.png", pictures["grid"])
    write_atomically(reports / "closest.png", pictures["closest"])
    write_atomically(reports / "interpolation.png", pictures["interpolation"])
    curve = (f"{seen}\t{distance}" for seen, distance in result["selection"]["curve"])
    write_atomically(
        reports / "snapshots.tsv", "\n".join(["images_seen\tdistance", *curve]) + "\n"
    )
    write_atomically(reports / "metrics.json", _metrics_json(evaluation, "best_images_seen"))
    write_atomically(reports / "evaluation.json", _json(result))
    write_atomically(reports / "report.html", report_html(result, pictures))


def write_folder(evaluation: Evaluation, cache: TensorCache | None, folder: Path) -> None:
    """Write the files of one checkpoint's or folder's evaluation into a folder of the user's."""
    pictures = _pictures(evaluation, cache)
    write_atomically(folder / "grid.png", pictures["grid"])
    write_atomically(folder / "closest.png", pictures["closest"])
    if "interpolation" in pictures:
        write_atomically(folder / "interpolation.png", pictures["interpolation"])
    write_atomically(folder / "metrics.json", _metrics_json(evaluation, "images_seen"))
    write_atomically(folder / "evaluation.json", _json(evaluation.result))
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
    test = evaluation.result["memorisation"].get(Thumbnails.name)
    subject, text = evaluation.result["subject"], None
    if subject["kind"] == "checkpoint":
        text = make_text_chunks(subject, GRID_NAME)
    pictures = {
        "grid": encode_png(contact_sheet(evaluation.grid, GRID_COLUMNS), text),
        "closest": encode_png(closest_sheet(evaluation.closest, test)),
    }
    if evaluation.interpolations is not None:
        pictures["interpolation"] = encode_png(
            contact_sheet(evaluation.interpolations, GRID_COLUMNS), text
        )
    if cache is not None:
        pictures["reals"] = encode_png(contact_sheet(_reals(cache), GRID_COLUMNS))
    return pictures


def _reals(cache: TensorCache) -> Images:
    """Return evenly spaced training images."""
    train = cache.split("train")
    return np.asarray(train[evenly_spaced(len(train), MAX_REALS)])


def _metrics_json(evaluation: Evaluation, images_key: str) -> str:
    """Compose metrics.json for `dvc metrics`: a value by key, then the deviations.

    images_key: name of the images that the checkpoint has seen.
    """
    subject = evaluation.result["subject"]
    content: dict[str, Any] = dict(evaluation.metrics)
    if subject["kind"] == "checkpoint":
        content |= {images_key: subject["images_seen"], "run_key": subject["run_key"][:16]}
    if evaluation.deviations:
        content["deviation"] = evaluation.deviations
    return _json(content)


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
