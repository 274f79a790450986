"""Commands beside the pipeline: `gan weights` and `gan results`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.entry import PARAMS, ParamsFile, here, read

weights = typer.Typer(no_args_is_help=True, help="Get Inception's weights, for FID.")
results = typer.Typer(no_args_is_help=True, help="Make the results page from runs.")


@weights.command()
def add(file: Annotated[Path, typer.Argument()], params: ParamsFile = PARAMS) -> None:
    """Check a file and copy it to weights/.

    Reads FILE and compares its sha256 with params.yaml. `dvc repro` then computes FID.
    """
    from pipeline import weights as command

    command.add(file, here(), read(params).features.inception_sha256)


@weights.command()
def fetch(params: ParamsFile = PARAMS) -> None:
    """Download the weights to weights/.

    Needs a network; the sha256 is checked. `dvc repro` then computes FID.
    """
    from pipeline import weights as command

    command.fetch(here(), read(params).features.inception_sha256)


@results.command("add")
def results_add(name: Annotated[str, typer.Argument()], out: Path = Path("docs/results")) -> None:
    """Collect the last run's facts.

    Reads reports/, params.yaml and logs/. Writes OUT/NAME.json and OUT/NAME.png.
    """
    from pipeline import results as command

    command.add(name, here(), out)


@results.command("render")
def results_render(folder: Path = Path("docs/results")) -> None:
    """Render docs/results.md.

    Reads docs/results/*.json. Writes docs/results.md beside that folder.
    """
    from pipeline import results as command

    command.render(folder)
