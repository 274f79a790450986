"""The `gan` command: declarations only. Each body imports what it needs, so that help is fast."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import runs as tracking_commands
from pipeline.cli.entry import PARAMS, ParamsFile, hand_over, here, one_line_errors, read
from pipeline.cli.evaluate import evaluate
from pipeline.cli.housekeeping import cache, params, results, weights
from pipeline.cli.identity import identity
from pipeline.cli.scrape import scrape
from pipeline.tracking.mlflow.environment import set_defaults

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes as long to import as all the rest together
    help="A GAN of anime avatars, from a raw scrape to FID. Commands in the order of the pipeline;"
    " `dvc repro` runs the stages scrape to evaluate.",
)


def _say(text: str) -> None:
    typer.echo(text)


app.command()(scrape)


@app.command()
def preprocess(params: ParamsFile = PARAMS) -> None:
    """Decode data/ into the tensor cache.

    Reads data/ and faces/. Writes cache/ (uint8 tensor, index, split), reports/preprocess.json,
    rejects.tsv and .png (what was left out, and why), duplicates.tsv and .png, filters.png (where
    the limits cut) and contact_sheet.png.
    """
    from pipeline.preprocessing.report import describe_summary
    from pipeline.tracking import stage_runs

    values = read(params)
    summary = stage_runs.preprocess(values, here())
    _say(describe_summary(summary, faces=values.preprocess.crop == "faces"))


@app.command()
def reference(params: ParamsFile = PARAMS) -> None:
    """Extract features of the real images.

    Reads cache/ and weights/. Writes reference/ (feature statistics) and reports/reference.json.
    """
    from pipeline.tracking import stage_runs

    summary = stage_runs.reference(read(params), here())
    _say("reference/: " + ", ".join(summary.extractors))


@app.command()
def train(
    params: ParamsFile = PARAMS,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Fail unless there is an unfinished training to resume."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try a few steps; print memory and time.")
    ] = False,
) -> None:
    """Train the GAN, or resume a training that was killed.

    Reads cache/. Writes models/snapshots/, models/final.pt, reports/losses.tsv and
    reports/samples.png. A killed training resumes from its newest
    checkpoint. logs/latest.png always shows the newest grid. --dry-run writes nothing.
    """
    if dry_run:
        from pipeline.housekeeping.dry_run import describe_dry_run

        _say(describe_dry_run(read(params), here()))
        return
    from pipeline.tracking import stage_runs

    stage_runs.train(read(params), here(), resume=resume)


app.command("_identity", hidden=True)(identity)
app.command()(evaluate)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Id, name or run key (or 6 digits of one) of an MLflow run, latest, "
            "evaluation.json or its folder.",
        ),
    ],
    by: Annotated[str | None, typer.Option(help="Metric to rank by, such as fid_10k.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show all metrics that the runs share.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="Also runs that were trained on different data.")
    ] = False,
) -> None:
    """Rank evaluated runs.

    Reads MLflow runs, or evaluation.json files that `gan evaluate` wrote. Prints a table, the
    best first; refuses metrics of different protocols. Writes nothing.
    """
    from pipeline.runs import compare as command

    command.run(runs, here(), by=by, every=every, as_json=as_json, other_data=other_data)


@app.command()
def generate(
    ckpt: Annotated[Path, typer.Option(help="Checkpoint: models/best.pt or any other.")],
    seeds: Annotated[str, typer.Option(help="Such as 0-63 or 1,5,9.")] = "0-63",
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("avatars"),
    grid: Annotated[bool, typer.Option("--grid", help="One sheet instead of files.")] = False,
    truncation: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Less than 1: more typical, less varied.")
    ] = 1.0,
) -> None:
    """Make PNG avatars from seeds.

    Reads a checkpoint. Writes PNG files under --out; the same seed gives the same picture.
    """
    from pipeline.pictures import generate as command

    files = command.run(ckpt, seeds, out, grid=grid, truncation=truncation)
    _say(f"{files[0]}" if len(files) == 1 else f"{len(files)} avatars in {out}")


@app.command()
def summary() -> None:
    """Summarise the last run.

    Reads reports/ and logs/. Prints metrics, run key, times and where the pictures are.
    """
    from pipeline.runs import summary as command

    command.run(here())


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Open MLflow's UI on the store.

    Serves mlflow.db, or prints the address of the server in MLFLOW_TRACKING_URI. Prepares the
    experiment's view (columns, charts, description) unless it was changed; writes nothing else.
    """
    from pipeline.runs import ui as command

    command.run(here(), port, show=show)


app.command("runs")(tracking_commands.runs)
app.command("lineage")(tracking_commands.lineage)
app.command("reproduce")(tracking_commands.reproduce)
app.command("register")(tracking_commands.register)
app.command("sync")(tracking_commands.sync)
app.command("doctor")(tracking_commands.doctor)


@app.command()
def clean(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is listed.")] = False,
    unsent: Annotated[
        bool, typer.Option("--unsent", help="Also unsent records, which are lost then.")
    ] = False,
) -> None:
    """List unfinished trainings, unsent records and kept features.

    Reads .dvc/tmp/gan/ and logs/spool/; with --remove it deletes what no process uses. Unsent
    records stay: `gan sync` first, or --unsent.
    """
    from pipeline.housekeeping import clean as command

    command.run(here(), remove=remove, unsent=unsent)


app.command("params")(params)
app.add_typer(cache, name="cache")
app.add_typer(weights, name="weights")
app.add_typer(results, name="results")


def main() -> None:
    """Entry point of the `gan` command."""
    hand_over(Path(__file__))
    set_defaults()
    with one_line_errors():
        app(standalone_mode=True)
