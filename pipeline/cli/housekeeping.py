"""Declarations of the commands beside the pipeline."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option, Typer

from pipeline.cli.entry import PARAMS, ParamsFile, here, read

cache = Typer(no_args_is_help=True, help="Describe, verify and show a tensor cache.")
weights = Typer(no_args_is_help=True, help="List and get Inception's weights, for FID.")
results = Typer(no_args_is_help=True, help="Collect results of runs and render their page.")

CacheFolder = Annotated[Path, Argument(help="Folder of the tensor cache.")]
CACHE = Path("cache")


def params(
    preset: Annotated[str, Option(help="Preset to put in; without it, list presets.")] = "",
    update: Annotated[bool, Option("--update", help="Add missing keys, remove old ones.")] = False,
    params: ParamsFile = PARAMS,
    out: Annotated[Path | None, Option(help="File to write; may be params.yaml itself.")] = None,
) -> None:
    """List presets, put one into params.yaml, or bring an older params.yaml up to date.

    Reads params.yaml. Prints it with size, networks and training of the preset, comments
    included, or writes it to OUT. --update keeps its values, comments and order, prints what it
    changes, and writes to params.yaml or OUT.
    """
    from gan.errors import GanError
    from pipeline.housekeeping import presets as command

    if preset and update:
        raise GanError("--preset and --update: one after the other")
    if update:
        command.update(params, out)
    elif preset:
        command.write(command.compose(preset, params), out)
    elif out is not None:
        raise GanError("--out goes with --preset or --update; name one")
    else:
        command.show()


def doctor(
    repair: Annotated[
        bool, Option("--repair", help="Point runs of mlflow.db to the artefacts beside it.")
    ] = False,
    mend: Annotated[bool, Option("--mend", hidden=True)] = False,
) -> None:
    """Check the checkout, its tools and its MLflow store; print what to do.

    Reads all, changes nothing without --repair; exits with 1 if something is wrong.
    """
    from pipeline.housekeeping import doctor as command

    command.run(here(), repair=repair or mend)


def clean(
    remove: Annotated[bool, Option("--remove", help="Remove what is listed.")] = False,
    unsent: Annotated[bool, Option("--unsent", help="Remove unsent records too.")] = False,
) -> None:
    """List unfinished trainings, unsent records and kept features.

    Reads .dvc/tmp/gan/ and logs/runs/; with --remove it deletes what no process uses. Unsent
    records stay: `gan sync` first, or --unsent.
    """
    from pipeline.housekeeping import clean as command

    command.run(here(), remove=remove, unsent=unsent)


@cache.command("info")
def cache_info(
    folder: CacheFolder = CACHE,
    as_json: Annotated[bool, Option("--json", help="As JSON, with all of meta.json.")] = False,
) -> None:
    """Describe a tensor cache.

    Reads FOLDER/meta.json. Prints counts, digests, settings, versions and statistics.
    """
    from pipeline.housekeeping import cache as command

    command.info(folder, as_json=as_json)


@cache.command("verify")
def cache_verify(folder: CacheFolder = CACHE) -> None:
    """Verify all digests of a tensor cache.

    Reads all of FOLDER. Prints one line if it is intact; otherwise names the file and the images
    that are damaged, and exits with 1.
    """
    from pipeline.housekeeping import cache as command

    command.verify(folder)


@cache.command("show")
def cache_show(
    folder: CacheFolder = CACHE,
    out: Annotated[Path, Option(help="PNG file.")] = Path("cache.png"),
    count: Annotated[
        int | None, Option(min=1, max=1024, help="Images; 64, or all that --rows names.")
    ] = None,
    split: Annotated[
        Literal["train", "holdout", "all"], Option(help="Split to choose images from.")
    ] = "all",
    by: Annotated[str | None, Option(help="Index column to sort by, such as sharpness.")] = None,
    first: Annotated[bool, Option("--first", help="With --by: only the lowest.")] = False,
    last: Annotated[bool, Option("--last", help="With --by: only the highest.")] = False,
    rows: Annotated[str | None, Option(help="Choose from these rows, such as 0-15,99.")] = None,
) -> None:
    """Draw images of a cache on a sheet.

    Reads FOLDER. Writes the PNG file OUT: images evenly from the split, or with --by from the
    lowest to the highest value; then row, value and place on the sheet of each go to stdout.
    """
    from pipeline.housekeeping import cache as command

    command.show(folder, out, count=count, split=split, by=by, first=first, last=last, rows=rows)


@weights.command("list")
def weights_list(params: ParamsFile = PARAMS) -> None:
    """List weights/, and say what is missing or wrong.

    Reads weights/ and params.yaml. Prints a table: Inception's file, whether its sha256 is right
    and the official one, unfinished downloads, and TorchScript files.
    """
    from pipeline.housekeeping import weights as command

    command.show(here(), read(params).features)


@weights.command("add")
def weights_add(file: Annotated[Path, Argument()], params: ParamsFile = PARAMS) -> None:
    """Check a file and copy it to weights/.

    Reads FILE and compares its sha256 with params.yaml. `dvc repro` then computes FID.
    """
    from pipeline.housekeeping import weights as command

    command.add(file, here(), read(params).features.inception_sha256)


@weights.command("fetch")
def weights_fetch(
    params: ParamsFile = PARAMS,
    url: Annotated[str | None, Option(help="Another address, such as a mirror's.")] = None,
) -> None:
    """Bring the weights to weights/.

    Copies them from torch's cache of downloads if they are there; else it needs a network, and
    resumes an interrupted download. The sha256 is checked. `dvc repro` then computes FID.
    """
    from pipeline.housekeeping import weights as command

    command.fetch(here(), read(params).features.inception_sha256, url)


@results.command("add")
def results_add(name: Annotated[str, Argument()], out: Path = Path("docs/results")) -> None:
    """Collect the results of the last run.

    Reads reports/, params.yaml and logs/. Writes OUT/NAME.json and OUT/NAME.png.
    """
    from pipeline.runs import results_page as command

    command.add(name, here(), out)


@results.command("render")
def results_render(folder: Path = Path("docs/results")) -> None:
    """Render docs/results.md.

    Reads docs/results/*.json. Writes docs/results.md beside that folder.
    """
    from pipeline.runs import results_page as command

    command.render(folder)
