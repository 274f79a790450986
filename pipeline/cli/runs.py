"""Declarations of the commands about recorded runs."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from pipeline.cli.entry import PARAMS, ParamsFile, here, read

RUN = "id, name or run key (or 6 digits of one), latest"
Subject = Annotated[str, Argument(help=f"PNG file, checkpoint, or a run: {RUN}.")]
Json = Annotated[bool, Option("--json", help="JSON instead of text.")]


def compare(
    runs: Annotated[
        list[str],
        Argument(metavar="RUN RUN...", help=f"{RUN}, evaluation.json or its folder."),
    ],
    by: Annotated[str | None, Option(help="Metric to rank by, such as fid_10k.")] = None,
    every: Annotated[bool, Option("--all", help="Show all metrics that the runs share.")] = False,
    as_json: Json = False,
    other_data: Annotated[
        bool, Option("--other-data", help="Also runs that were trained on different data.")
    ] = False,
) -> None:
    """Rank evaluated runs.

    Reads MLflow runs, or evaluation.json files that `gan evaluate` wrote. Prints a table, the
    best first; refuses metrics of different protocols. Writes nothing.
    """
    from pipeline.runs import compare as command

    command.run(runs, here(), by=by, every=every, as_json=as_json, other_data=other_data)


def summary() -> None:
    """Summarise the last run.

    Reads reports/ and logs/. Prints metrics, run key, times and where the pictures are.
    """
    from pipeline.runs import summary as command

    command.run(here())


def ui(
    port: Annotated[int, Option(min=1, max=65535)] = 5000,
    show: Annotated[bool, Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Open MLflow's UI on the store.

    Serves mlflow.db, or prints the address of the server in MLFLOW_TRACKING_URI. Prepares the
    experiment's view (columns, charts, description) unless it was changed; writes nothing else.
    """
    from pipeline.runs import ui as command

    command.run(here(), port, show=show)


def runs(
    by: Annotated[str | None, Option(help="Metric to sort by, such as loss/generator.")] = None,
    limit: Annotated[int, Option(min=1, help="Runs, at most.")] = 20,
    columns: Annotated[
        list[str] | None, Option("--column", help="Another metric or parameter; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List trainings, the newest or best first.

    Reads MLflow runs. Prints a table: id, name, start, status, images seen, last losses and the
    metrics that most of them have. Writes nothing.
    """
    from pipeline.runs import table as command

    command.run(here(), by=by, limit=limit, columns=columns or (), as_json=as_json)


def lineage(
    subject: Subject,
    check: Annotated[bool, Option("--check", help="Exit with 1 unless all is present.")] = False,
    as_json: Json = False,
) -> None:
    """Print the lineage of a picture, checkpoint or run.

    Prints run, commit, settings, data, sources and licences, and the commands that reproduce it.
    A PNG file or checkpoint needs no repository around. Writes nothing.
    """
    from pipeline.runs.lineage import show as command

    command.run(subject, here(), check=check, as_json=as_json)


def reproduce(
    subject: Subject,
    to: Annotated[Path, Option(help="New folder for the checkout to run in.")],
) -> None:
    """Reproduce a run in a new folder and compare.

    Writes a checkout of the run's commit, with its uncommitted changes, to TO, runs its pipeline
    there without the run cache, and compares hashes; exits with 1 if some differ.
    """
    from pipeline.runs.reproduce import reproduce as command

    command.run(subject, here(), to)


def register(
    subject: Subject,
    name: Annotated[str, Option(help="Name of the registered model.")] = "avatars",
    alias: Annotated[str, Option(help="Alias to move to this version, such as champion.")] = "",
) -> None:
    """Register a generator as a model in MLflow.

    Takes the run's best checkpoint, or the one that is given. Prints the version and how to load
    and serve it.
    """
    from pipeline.runs import register as command

    command.run(subject, here(), name=name, alias=alias)


def sync() -> None:
    """Send unsent records to MLflow.

    Reads the records that trainings and stages keep while a tracker is down, and models/ and
    reports/ to rebuild the last training's run where the store lacks parts. Safe to repeat.
    """
    from pipeline.tracking.sync import sync as command

    command.run(here())


def identity(
    params: ParamsFile = PARAMS,
    code_only: Annotated[bool, Option("--code-only", help="Only the code's digest.")] = False,
) -> None:
    """Print the identity of the training that this checkout would run.

    One JSON object: run_key, identity and code_digest. With --code-only the first two are null.
    """
    import json

    from pipeline.runs.other_checkout import digest_of_code, identity_of_training

    answer = digest_of_code() if code_only else identity_of_training(read(params), here())
    echo(json.dumps(answer))
