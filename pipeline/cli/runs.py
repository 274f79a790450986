"""Commands about recorded runs: declarations only."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.entry import here

Subject = Annotated[
    str,
    typer.Argument(
        help="PNG file, checkpoint, or a run: id, name or run key (or 6 digits of one), latest."
    ),
]


def runs(
    by: Annotated[
        str | None, typer.Option(help="Metric to sort by, such as fid_10k or loss/generator.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Runs, at most.")] = 20,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="Another metric or parameter; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """List trainings, the newest or best first.

    Reads MLflow runs. Prints a table: id, name, start, status, images seen, last losses and the
    metrics that most of them have. Writes nothing.
    """
    from pipeline.runs import table as command

    command.run(here(), by=by, limit=limit, columns=columns or (), as_json=as_json)


def sync() -> None:
    """Send unsent records to MLflow.

    Reads the records that trainings and stages keep while a tracker is down, and models/ and
    reports/ to rebuild the last training's run where the store lacks parts. Safe to repeat.
    """
    from pipeline.tracking.sync import sync as command

    command.run(here())


def doctor(
    repair: Annotated[
        bool, typer.Option("--repair", help="Point runs of mlflow.db to the artefacts beside it.")
    ] = False,
    mend: Annotated[bool, typer.Option("--mend", hidden=True)] = False,
) -> None:
    """Check the checkout, its tools and its MLflow store; print what to do.

    Reads all, changes nothing without --repair; exits with 1 if something is wrong.
    """
    from pipeline.housekeeping import doctor as command

    command.run(here(), repair=repair or mend)


def lineage(
    subject: Subject,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check that everything it names is present; else exit with 1."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Print the lineage of a picture, checkpoint or run.

    Prints run, commit, settings, data, sources and licences, and the commands that reproduce it.
    A PNG file or checkpoint needs no repository around. Writes nothing.
    """
    from pipeline.runs.lineage import show as command

    command.run(subject, here(), check=check, as_json=as_json)


def reproduce(
    subject: Subject,
    to: Annotated[Path, typer.Option(help="New folder for the checkout to run in.")],
) -> None:
    """Reproduce a run in a new folder and compare.

    Writes a checkout of the run's commit, with its uncommitted changes, to TO, runs its pipeline
    there without the run cache, and compares hashes; exits with 1 if some differ.
    """
    from pipeline.runs.reproduce import reproduce as command

    command.run(subject, here(), to)


def register(
    subject: Subject,
    name: Annotated[str, typer.Option(help="Name of the registered model.")] = "avatars",
    alias: Annotated[
        str, typer.Option(help="Alias to move to this version, such as champion.")
    ] = "",
) -> None:
    """Register a generator as a model in MLflow.

    Takes the run's best checkpoint, or the one that is given. Prints the version and how to load
    and serve it.
    """
    from pipeline.runs import register as command

    command.run(subject, here(), name=name, alias=alias)
