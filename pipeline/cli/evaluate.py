"""Declaration of `gan evaluate`, and how its options change the params."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.entry import PARAMS, ParamsFile, here, read

if TYPE_CHECKING:
    from gan.params.file import Params
    from pipeline.evaluation.evaluate_subject import Evaluation

SEEDS = 1000  # more in one evaluation is a slip of the pen


def evaluate(
    params: ParamsFile = PARAMS,
    ckpt: Annotated[Path | None, typer.Option(help="Evaluate only this checkpoint.")] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Evaluate the best checkpoint of a run: id, name, run key or latest."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Evaluate the images of a folder, whoever made them.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="train, holdout, a folder of images or a statistics file (.npz, as pytorch-fid "
            "writes it); repeatable."
        ),
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(help="lite0, inception or a TorchScript file; repeatable."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Some of frechet_distance, frechet_infinity, kernel_distance, precision_recall, "
            "inception_score and memorisation, with commas between."
        ),
    ] = None,
    fakes: Annotated[int | None, typer.Option(help="Generated images a seed.")] = None,
    seeds: Annotated[
        str, typer.Option(help="Latent seeds, such as 2-4; metrics are means over them.")
    ] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="The raw generator instead of its moving average.")
    ] = False,
    precision: Annotated[
        Literal["float32", "bf16"] | None,
        typer.Option(help="Precision of the feature extractors; metric keys name bf16."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images at once on a GPU.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Threads that decode the images of folders.")
    ] = 2,
    allow_small: Annotated[
        bool,
        typer.Option(
            "--allow-small",
            help="Also with fewer than 2,048 images on a side; --against and --images ask for it.",
        ),
    ] = False,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="The cache is not the data of the training.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json, report.html and pictures.")
    ] = None,
    save_statistics: Annotated[
        Path | None,
        typer.Option(
            help="File for mean and covariance of the evaluated images, as pytorch-fid writes it."
        ),
    ] = None,
) -> None:
    """Evaluate snapshots and keep the best.

    Reads models/snapshots/, reference/, cache/ and weights/. Writes models/best.pt,
    reports/metrics.json, evaluation.json, report.html, snapshots.tsv, best.png, closest.png and
    interpolation.png.
    With --ckpt, --run or --images it evaluates that alone, prints, and writes under --out.
    """
    from gan.errors import GanError

    changes: dict[str, Any] = {
        "features.precision": precision,
        "features.batch_size": batch_size,
        "evaluate.metrics": None if metrics is None else _split_names(metrics),
        "evaluate.num_fakes": fakes,
        "evaluate.report_seeds": _seeds(seeds),
        # params.yaml allows it to the stage; what a person names needs asking for
        "evaluate.allow_small": allow_small or (False if against or images else None),
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    alone = (against, extractor, raw, other_data, out, save_statistics)
    given = [name for name in (ckpt, run, images) if name is not None]
    if len(given) > 1:
        raise GanError(
            "--ckpt, --run and --images exclude each other; evaluate one after the other"
        )
    values, paths = _apply_options(read(params), changes), here()
    if not given and (changes or any(alone)):
        raise GanError(
            "without --ckpt, --run or --images the stage runs, and params.yaml decides all; "
            "change it there, or give one of the three"
        )
    if images and (raw or other_data or fakes or seeds):
        raise GanError("--raw, --other-data, --fakes and --seeds go with --ckpt and --run")
    from pipeline.runs.evaluate_one import Request, evaluate_one, evaluate_run
    from pipeline.tracking import stage_runs

    if not given:
        _show(stage_runs.evaluate(values, paths), paths.reports)
        return
    request = Request(
        ckpt=ckpt,
        images=images,
        against=against or (),
        extractors=extractor or (),
        weights="raw" if raw else "averaged",
        other_data=other_data,
        workers=workers,
        out=out,
        statistics=save_statistics,
    )
    if run is None:
        _show(evaluate_one(request, values, paths), out)
        return
    as_stage = not (changes or against or extractor or raw or other_data)
    _show(evaluate_run(run, request, values, paths, as_stage=as_stage), out)


def _split_names(metrics: str) -> list[str]:
    return [name.strip() for name in metrics.split(",") if name.strip()]


def _seeds(text: str) -> list[int] | None:
    from pipeline.number_ranges import parse_ranges

    return parse_ranges(text, "--seeds", SEEDS) if text else None


def _apply_options(params: "Params", changes: dict[str, Any]) -> "Params":
    """Replace dotted keys of the params, and validate the result like a file."""
    from gan.params.file import parse_params

    content = params.model_dump()
    for dotted, value in changes.items():
        section, key = dotted.split(".")
        content[section][key] = value
    return parse_params(content, "options") if changes else params


def _show(evaluation: "Evaluation", out: Path | None) -> None:
    subject = evaluation.result["subject"]
    seen = f", {subject['images_seen']:,} images seen" if "images_seen" in subject else ""
    others = [each["what"] for each in evaluation.result["references"].values() if each["other"]]
    typer.echo(f"{subject['name']}{seen}")
    if others and "trained_on" in subject:
        typer.echo(f"against other data than it was trained on: {', '.join(others)}")
    for key, value in evaluation.metrics.items():
        deviation = evaluation.deviations.get(key)
        typer.echo(f"{key}\t{value:g}" + ("" if deviation is None else f"\t± {deviation:g}"))
    if out is not None:
        typer.echo(f"report with pictures: {out / 'report.html'}")
