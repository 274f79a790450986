"""The evaluate stage: every snapshot judged, the best one kept, its numbers reported.

The best is chosen on one seed of latents and reported on another, so that the number is not the
luck of the draw that chose it.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from gan.cache import Images, TensorCache
from gan.checkpoints import Origin, load_generator
from gan.devices import choose
from gan.durable import write_atomically
from gan.errors import GanError
from gan.metrics.evaluation import feature_statistics
from gan.metrics.frechet import frechet_distance
from gan.metrics.keys import metric_key
from gan.models.network import Generator
from gan.params import Params
from gan.sampling import (
    BATCH,
    GRID_COLUMNS,
    GRID_SEEDS,
    drawn_latents,
    generate,
    seed_latents,
)
from pipeline import tracking
from pipeline.images.contact_sheet import contact_sheet, save_png
from pipeline.judges import Judge, judges, say_what_is_missing, selection_key, selection_split
from pipeline.paths import Paths
from pipeline.progress import track


@dataclass(frozen=True)
class Evaluation:
    """Numbers of one checkpoint, by key."""

    origin: Origin
    metrics: dict[str, float] = field(default_factory=dict)


def run(params: Params, paths: Paths) -> Evaluation:
    """Judge models/snapshots/, write models/best.pt and reports/; log onto the training's row."""
    cache = TensorCache.open(paths.cache)
    snapshots = sorted((paths.models / "snapshots").glob("*.pt"))
    if not snapshots:
        raise GanError(f"{paths.models / 'snapshots'}: no snapshot to evaluate; run `gan train`")
    for path in snapshots:
        _check_data(path, load_generator(path)[1], cache, "run `gan train`")
    panel = judges(params, paths, cache)
    say_what_is_missing(params, paths, panel)
    curve = [(path, *_selection_score(path, params, panel[0])) for path in snapshots]
    best, _, _ = min(curve, key=lambda row: row[2])
    evaluation, images = _report(best, params, panel)
    sheet = contact_sheet(images, GRID_COLUMNS)
    write_atomically(paths.models / "best.pt", best.read_bytes())
    save_png(sheet, paths.reports / "best.png")
    key = selection_key(params, panel[0])
    lines = ["images_seen\tdistance", *(f"{o.images_seen}\t{score:.6g}" for _, o, score in curve)]
    write_atomically(paths.reports / "snapshots.tsv", ("\n".join(lines) + "\n").encode())
    _write_metrics(paths.reports / "metrics.json", evaluation, "best_images_seen")
    points = {origin.images_seen: {f"selection/{key}": score} for _, origin, score in curve}
    row = _open_row(evaluation, params, paths)
    for seen, values in points.items():
        row.metrics(values, seen)
    # all at the end of the training: MLflow's table shows the value of the latest step, and a
    # later evaluation may choose an earlier snapshot
    last = curve[-1][1].images_seen
    row.metrics(evaluation.metrics | {"best_images_seen": evaluation.origin.images_seen}, last)
    row.image("best", paths.reports / "best.png", last)
    row.artifact(best, "best")
    row.flush()
    row.tidy()
    return evaluation


def run_checkpoint(
    ckpt: Path, params: Params, paths: Paths, out: Path | None, other_data: bool
) -> Evaluation:
    """Evaluate one checkpoint against the cache; write metrics.json and a grid under `out`.

    GanError if it was trained on other data, unless `other_data` is asked for.
    """
    _, origin = load_generator(ckpt)
    cache = TensorCache.open(paths.cache)
    if not other_data:
        _check_data(ckpt, origin, cache, "--other-data compares all the same")
    if out is not None:
        _check_out(out, paths)
    panel = judges(params, paths, cache)
    say_what_is_missing(params, paths, panel)
    evaluation, images = _report(ckpt, params, panel)
    if out is not None:
        _write_metrics(out / "metrics.json", evaluation, "images_seen")
        save_png(contact_sheet(images, GRID_COLUMNS), out / "grid.png")
    if origin.cache_digest == cache.digest:  # a number on other data is no number of that run
        row = _open_row(evaluation, params, paths)
        # under names of their own: the row's numbers are those of its best snapshot
        judged = {f"checkpoint/{key}": value for key, value in evaluation.metrics.items()}
        row.metrics(judged, origin.images_seen)
        row.flush()
        row.tidy()
    return evaluation


def _check_out(out: Path, paths: Paths) -> None:
    """Make the folder before the long part; what DVC versions isn't written to by hand."""
    owned = (paths.data, paths.cache, paths.reference, paths.models, paths.reports)
    for folder in (out.resolve(), *out.resolve().parents):
        if folder in [each.resolve() for each in owned]:
            raise GanError(f"{out}: {folder.name}/ belongs to DVC's stages; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise GanError(f"{out}: is a file, or stands on one; --out names a folder") from None


def _check_data(path: Path, origin: Origin, cache: TensorCache, remedy: str) -> None:
    if origin.cache_digest != cache.digest:
        raise GanError(
            f"{path}: trained on other data ({origin.cache_digest[:12]}, the cache is "
            f"{cache.digest[:12]}); {remedy}"
        )


def _fakes(generator: Generator, seed: int, count: int) -> Iterator[Tensor]:
    latents = drawn_latents(seed, "evaluate", count, generator.latent_size)
    return generate(generator, latents)


def _load(path: Path) -> tuple[Generator, Origin]:
    generator, origin = load_generator(path)
    return generator.to(choose("auto", "float32").device), origin


def _selection_score(path: Path, params: Params, judge: Judge) -> tuple[Origin, float]:
    generator, origin = _load(path)
    settings = params.evaluate
    fakes = _fakes(generator, settings.selection_seed, settings.selection_fakes)
    total = math.ceil(settings.selection_fakes / BATCH)
    shown = track(fakes, f"judge {origin.images_seen:,}, batches", total)
    found = feature_statistics(shown, judge.extractor, params.features.batch_size)
    split, _ = selection_split(params, judge)
    return origin, frechet_distance(judge.reference.splits[split], found)


def _report(path: Path, params: Params, panel: list[Judge]) -> tuple[Evaluation, Images]:
    """The reported numbers of a checkpoint, and a grid of its avatars (n, H, W, 3) uint8."""
    generator, origin = _load(path)
    settings = params.evaluate
    evaluation = Evaluation(origin)
    for judge in panel:
        fakes = _fakes(generator, settings.report_seed, settings.num_fakes)
        total = math.ceil(settings.num_fakes / BATCH)
        shown = track(fakes, f"{judge.extractor.name}: fakes, batches", total)
        found = feature_statistics(shown, judge.extractor, params.features.batch_size)
        for split, small in judge.splits(params, settings.num_fakes).items():
            key = metric_key(judge.extractor.name, settings.num_fakes, split, small)
            real = judge.reference.splits[split]
            evaluation.metrics[key] = frechet_distance(real, found)
    latents = seed_latents(GRID_SEEDS, generator.latent_size)
    images = torch.cat(list(generate(generator, latents)))
    grid: Images = images.permute(0, 2, 3, 1).numpy()
    return evaluation, grid


def _write_metrics(path: Path, evaluation: Evaluation, seen: str) -> None:
    """Rounded to six digits: more would be noise of the machine's arithmetic."""
    rounded = {key: float(f"{value:.6g}") for key, value in sorted(evaluation.metrics.items())}
    content = rounded | {
        seen: evaluation.origin.images_seen,
        "run_key": evaluation.origin.run_key[:16],
    }
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def _open_row(evaluation: Evaluation, params: Params, paths: Paths) -> tracking.Run:
    """The tracker's row of the training that the checkpoint comes from."""
    origin = evaluation.origin
    return tracking.attach(
        paths,
        experiment=tracking.experiment_name(),
        run_key=origin.run_key,
        name=origin.name,
        params={"model": origin.model, "evaluate": params.evaluate.model_dump()},
        tags={"cache_digest": origin.cache_digest},
    )
