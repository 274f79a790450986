"""Declaration of `gan evaluate`, which options go together, and what they change in the params."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Context, Option, echo

from gan.metrics.registry import METRICS
from pipeline.cli.entry import PARAMS, ParamsFile, here, read

if TYPE_CHECKING:
    from gan.params.file import Params
    from pipeline.evaluation.evaluate_subject import Evaluation

SEEDS = 1000  # more in one evaluation is a slip of the pen

TARGETS = ("--ckpt", "--run", "--images")
OF_CHECKPOINTS = ("--raw", "--other-data", "--fakes", "--seeds")
"""Options that say nothing of a folder of images."""

SETTINGS = {
    "--precision": "features.precision",
    "--batch-size": "features.batch_size",
    "--metrics": "evaluate.metrics",
    "--fakes": "evaluate.num_fakes",
    "--seeds": "evaluate.report_seeds",
    "--allow-small": "evaluate.allow_small",
}
"""Options that replace a value of params.yaml."""

UNLIKE_STAGE = (*SETTINGS, "--against", "--extractor", "--raw", "--other-data")
"""Options with which metrics are others than those of the stage."""


def evaluate(
    context: Context,
    params: ParamsFile = PARAMS,
    ckpt: Annotated[Path | None, Option(help="Evaluate only this checkpoint.")] = None,
    run: Annotated[
        str | None,
        Option(help="Evaluate the best checkpoint of a run: id, name, run key or latest."),
    ] = None,
    images: Annotated[Path | None, Option(help="Evaluate the images of a folder.")] = None,
    against: Annotated[
        list[str] | None,
        Option(help="train, holdout, a folder of images or statistics (.npz); repeatable."),
    ] = None,
    extractor: Annotated[
        list[str] | None, Option(help="lite0, inception or a TorchScript file; repeatable.")
    ] = None,
    metrics: Annotated[str | None, Option(help=f"Comma-separated: {', '.join(METRICS)}.")] = None,
    fakes: Annotated[int | None, Option(help="Generated images a seed.")] = None,
    seeds: Annotated[
        str | None, Option(help="Latent seeds, such as 2-4; metrics are means over them.")
    ] = None,
    raw: Annotated[bool, Option("--raw", help="The raw generator, not its average.")] = False,
    precision: Annotated[
        Literal["float32", "bf16"] | None, Option(help="Precision of feature extractors.")
    ] = None,
    batch_size: Annotated[int | None, Option(help="Images at once on a GPU.")] = None,
    workers: Annotated[int, Option(min=1, max=256, help="Threads that decode images.")] = 2,
    allow_small: Annotated[
        bool, Option("--allow-small", help="Also with fewer than 2,048 images on a side.")
    ] = False,
    other_data: Annotated[
        bool, Option("--other-data", help="The cache is not the data of the training.")
    ] = False,
    out: Annotated[Path | None, Option(help="Folder for JSON, report and pictures.")] = None,
    save_statistics: Annotated[
        Path | None, Option(help=".npz for mean and covariance, as pytorch-fid writes it.")
    ] = None,
) -> None:
    """Evaluate snapshots and keep the best.

    Reads models/snapshots/, reference/, cache/ and weights/. Writes models/best.pt,
    reports/metrics.json, evaluation.json, report.html, snapshots.tsv, best.png, closest.png and
    interpolation.png.
    With --ckpt, --run or --images it evaluates that alone, prints, and writes under --out.
    """
    options = _list_given(context)
    _check_together(options)
    if "--against" in options or "--images" in options:
        # params.yaml allows it to the stage; what a person names needs asking for
        options["--allow-small"] = allow_small
    values, paths = _apply_options(read(params), options), here()
    from pipeline.runs.evaluate_one import Request, evaluate_one, evaluate_run
    from pipeline.tracking import stage_runs

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
    if run is not None:
        as_stage = not options.keys() & {*UNLIKE_STAGE}
        _show(evaluate_run(run, request, values, paths, as_stage=as_stage), out)
    elif ckpt or images:
        _show(evaluate_one(request, values, paths), out)
    else:
        _show(stage_runs.evaluate(values, paths), paths.reports)


def _list_given(context: Context) -> dict[str, Any]:
    """Values of the options that the user typed, by their names as they are typed."""
    return {
        f"--{name.replace('_', '-')}": value
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }


def _check_together(given: Collection[str]) -> None:
    """Raise GanError for options that do not go together."""
    from gan.errors import GanError

    targets = [option for option in TARGETS if option in given]
    others = [option for option in given if option not in (*TARGETS, "--params")]
    if len(targets) > 1:
        raise GanError(f"{' and '.join(targets)} exclude each other; evaluate one after the other")
    if others and not targets:
        raise GanError(
            f"{', '.join(others)}: without {', '.join(TARGETS[:2])} or {TARGETS[2]} the stage "
            "runs, and params.yaml decides all; change it there, or give one of the three"
        )
    if "--images" in targets and (wrong := [each for each in others if each in OF_CHECKPOINTS]):
        raise GanError(
            f"{', '.join(wrong)}: options that go with --ckpt and --run, not with --images"
        )


def _apply_options(params: "Params", options: Mapping[str, Any]) -> "Params":
    """Replace values of the params; an error names the option."""
    from gan.params.file import parse_params
    from pipeline.number_ranges import parse_ranges

    content = params.model_dump()
    for option, dotted in SETTINGS.items():
        if option in options:
            value = options[option]
            if option == "--metrics":
                value = [name.strip() for name in value.split(",") if name.strip()]
            elif option == "--seeds":
                value = parse_ranges(value, option, SEEDS)
            section, key = dotted.split(".")
            content[section][key] = value
            params = parse_params(content, option)
    return params


def _show(evaluation: "Evaluation", out: Path | None) -> None:
    result, subject = evaluation.result, evaluation.result.subject
    seen = f", {subject.images_seen:,} images seen" if subject.kind == "checkpoint" else ""
    echo(f"{subject.name}{seen}")
    if others := [result.references[tag].what for tag in result.other_data]:
        echo(f"against other data than it was trained on: {', '.join(others)}")
    for key, value in evaluation.metrics.items():
        deviation = evaluation.deviations.get(key)
        echo(f"{key}\t{value:g}" + ("" if deviation is None else f"\t± {deviation:g}"))
    if out is not None:
        echo(f"report with pictures: {out / 'report.html'}")
