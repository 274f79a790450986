"""The `gan` command: its commands in order, and its entry point."""

from pathlib import Path

import typer

from pipeline.cli import housekeeping, runs, stages
from pipeline.cli.entry import hand_over, one_line_errors
from pipeline.cli.evaluate import evaluate
from pipeline.tracking.mlflow.environment import set_defaults

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes as long to import as all the rest together
    help="A GAN of anime avatars, from a raw scrape to FID. Commands in the order of the pipeline;"
    " `dvc repro` runs the stages scrape to evaluate.",
)

for command in (
    *(stages.scrape, stages.preprocess, stages.reference, stages.train, evaluate),
    *(runs.compare, stages.generate, runs.summary, runs.ui, runs.runs, runs.lineage),
    *(runs.reproduce, runs.register, runs.sync),
    *(housekeeping.doctor, housekeeping.clean, housekeeping.params),
):
    app.command()(command)
app.command("_identity", hidden=True)(runs.identity)
app.add_typer(housekeeping.cache, name="cache")
app.add_typer(housekeeping.weights, name="weights")
app.add_typer(housekeeping.results, name="results")


def main() -> None:
    """Entry point of the `gan` command."""
    hand_over(Path(__file__))
    set_defaults()
    with one_line_errors():
        app(standalone_mode=True)
