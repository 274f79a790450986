"""Files of an evaluation: JSON, pictures and the report, with no time, host or path in them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.metrics.memorisation import Memorisation
from gan.metrics.thumbnails import Thumbnails
from gan.sampling import GRID_COLUMNS, GRID_NAME
from gan.tensor_cache import TensorCache
from pipeline.evaluation.evaluate_subject import Evaluation, Pair
from pipeline.evaluation.report import report_html
from pipeline.evaluation.result import CheckpointFacts
from pipeline.number_ranges import evenly_spaced
from pipeline.paths import Paths
from pipeline.pictures.captions import (
    Line,
    add_caption,
    draw_lines,
    fit_into_tile,
)
from pipeline.pictures.contact_sheet import contact_sheet, encode_png
from pipeline.pictures.png_lineage import make_text_chunks

MAX_REALS = 64  # beside the grid
COLUMNS = 4
BORDER = 2
FRAME = (150, 150, 150)
LEGEND = (
    "Left: fake. Right: nearest training image. Number: distance to it / distance to the fifth "
    "nearest; 0 for a copy, near 1 for a new image. Index: in the training split."
)


def write_reports(evaluation: Evaluation, cache: TensorCache, paths: Paths) -> None:
    """Write the stage's outs in reports/: metrics and curve for DVC, pictures, report, result."""
    selection = evaluation.result.selection
    assert selection is not None
    rows = [f"{seen}\t{distance}" for seen, distance in selection.curve]
    table = "\n".join(["images_seen\tdistance", *rows]) + "\n"
    write_atomically(paths.reports / "snapshots.tsv", table)
    write_folder(evaluation, cache, paths.reports, "best", "best_images_seen")


def write_folder(
    evaluation: Evaluation,
    cache: TensorCache | None,
    folder: Path,
    grid: str = "grid",
    images: str = "images_seen",
) -> None:
    """Write the files of an evaluation into a folder.

    grid: name of the picture of fakes. images: metrics.json's key of the images seen.
    """
    pictures = _pictures(evaluation, cache)
    write_atomically(folder / f"{grid}.png", pictures["grid"])
    for key in {"closest", "interpolation"} & set(pictures):
        write_atomically(folder / f"{key}.png", pictures[key])
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


def closest_sheet(pairs: Sequence[Pair], test: Memorisation | None) -> Image.Image:
    """Draw the pairs in the given order under a title with share, p-value and verdict.

    test: None without the memorisation test. A training image is drawn mirrored if it is nearest
    mirrored.
    """
    if test is None:
        return draw_lines([Line("memorisation was not tested")])
    verdict = "SUSPICIOUS, possibly copies" if test.suspicious else "no sign of copies"
    title = (
        f"Memorisation: {100 * test.share:.2g} % of the fakes lie very close to a training image, "
        f"expected {100 * test.expected:.2g} %, p = {test.p_value:.2g}: {verdict}"
    )
    tiles = [_tile(rank, pair) for rank, pair in enumerate(pairs, start=1)]
    lines = [Line(tiles=tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    return draw_lines([Line(f"{title}\n{LEGEND}"), *lines])


def _tile(rank: int, pair: Pair) -> Image.Image:
    real = pair.real[:, ::-1] if pair.closest.mirrored else pair.real
    both = [np.asarray(fit_into_tile(Image.fromarray(image))) for image in (pair.fake, real)]
    framed = ImageOps.expand(Image.fromarray(np.concatenate(both, axis=1)), BORDER, FRAME)
    how = ", mirrored" if pair.closest.mirrored else ""
    return add_caption(
        framed, f"{rank}. {pair.closest.relative:.3f}, index {pair.closest.row}{how}"
    )
