"""The `gan` command: declarations only. Each body imports what it needs, so that help is fast."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gan.params import Params
    from pipeline.paths import Paths

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A GAN of anime avatars, from a raw scrape to FID. Commands in the order of the pipeline;"
    " `dvc repro` runs the stages scrape to evaluate.",
)
weights = typer.Typer(no_args_is_help=True, help="Inception weights for FID: weights/.")
results = typer.Typer(no_args_is_help=True, help="Results pages: docs/results/, docs/results.md.")

ParamsFile = Annotated[Path, typer.Option("--params", help="YAML file with all settings.")]
PARAMS = Path("params.yaml")
INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


def _paths() -> "Paths":
    from pipeline.paths import Paths

    return Paths(Path.cwd())


def _params(file: Path) -> "Params":
    from gan.params import load_params

    return load_params(file)


def _say(text: str) -> None:
    typer.echo(text)


@app.command()
def scrape(
    source: Annotated[
        str | None,
        typer.Option(help="embedded, archive:FILE|DIR or booru:URL. Replaces data/ deliberately."),
    ] = None,
    ensure: Annotated[
        bool, typer.Option("--ensure", help="Make data/ what source.yaml and data.dvc say.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many pictures.")] = None,
    tags: Annotated[str, typer.Option(help="Tags to search a booru for.")] = "",
    licence: Annotated[str, typer.Option(help="Licence note for source.yaml.")] = "",
) -> None:
    """Pictures -> data/ (tar shards, manifest), source.yaml, data.dvc. Reads a source."""
    from pipeline import scrape as stage
    from pipeline import tracking

    paths = _paths()
    with tracking.stage_run(paths, "scrape") as row:
        summary = stage.run(source, paths, ensure=ensure, limit=limit, tags=tags, licence=licence)
        row.params({"source": summary.source})
        row.tags({"snapshot_digest": summary.digest})
        row.metrics({f"rows/{status}": n for status, n in summary.counts.items()}, 0)


@app.command()
def preprocess(params: ParamsFile = PARAMS) -> None:
    """data/ -> cache/ (uint8 tensor, index, split), reports/preprocess.json, rejects.tsv."""
    from dataclasses import asdict

    from pipeline import preprocess as stage
    from pipeline import tracking

    values, paths = _params(params), _paths()
    settings = values.preprocess.model_dump()
    with tracking.stage_run(paths, "preprocess", params=settings) as row:
        summary = asdict(stage.run(values, paths))
        row.tags({"cache_digest": summary["digest"]})
        counts = {key: value for key, value in summary.items() if isinstance(value, int)}
        row.metrics({f"images/{key}": value for key, value in counts.items()}, 0)
        row.image("contact_sheet", paths.reports / "contact_sheet.png", 0)
        row.artifact(paths.reports / "rejects.tsv")
    _say("cache/: " + ", ".join(f"{key} {value}" for key, value in counts.items()))


@app.command()
def reference(params: ParamsFile = PARAMS) -> None:
    """cache/, weights/ -> reference/ (feature statistics of the real images)."""
    from pipeline import reference as stage
    from pipeline import tracking

    values, paths = _params(params), _paths()
    with tracking.stage_run(paths, "reference", params=values.features.model_dump()) as row:
        summary = stage.run(values, paths)
        row.metrics({f"images/{split}": n for split, n in summary.counts.items()}, 0)
        for file in summary.files.values():
            row.artifact(file)
    _say("reference/: " + ", ".join(sorted(summary.files)))


@app.command()
def train(
    params: ParamsFile = PARAMS,
    resume: Annotated[
        bool, typer.Option("--resume", help="Insist on going on with an unfinished training.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, say what would be trained, write nothing.")
    ] = False,
) -> None:
    """cache/ -> models/snapshots/, models/final.pt, reports/losses.tsv, samples.png.

    A killed training goes on where it was. logs/latest.png always shows the newest grid.
    """
    from pipeline import train as stage

    values, paths = _params(params), _paths()
    if dry_run:
        _say(stage.describe(stage.plan(values, paths)))
        return
    stage.run(values, paths, resume=resume)


@app.command()
def evaluate(
    params: ParamsFile = PARAMS,
    ckpt: Annotated[
        Path | None, typer.Option(help="Only this checkpoint, against the cache.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --ckpt: folder for metrics.json and grid.png.")
    ] = None,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="With --ckpt: it was trained on other data.")
    ] = False,
) -> None:
    """models/snapshots/, reference/, cache/, weights/ -> models/best.pt, reports/metrics.json.

    With --ckpt only prints, and writes under --out.
    """
    from gan.errors import GanError
    from pipeline import evaluate as stage

    values, paths = _params(params), _paths()
    if ckpt is None and (out is not None or other_data):
        raise GanError("--out and --other-data go with --ckpt")
    if ckpt is None:
        evaluation = stage.run(values, paths)
    else:
        evaluation = stage.run_checkpoint(ckpt, values, paths, out, other_data)
    _say(f"{evaluation.origin.name}, {evaluation.origin.images_seen:,} images seen")
    for key, value in sorted(evaluation.metrics.items()):
        _say(f"{key}\t{value:.4f}")


@app.command()
def generate(
    ckpt: Annotated[Path, typer.Option(help="Checkpoint: models/best.pt or any other.")],
    seeds: Annotated[str, typer.Option(help="Such as 0-63 or 1,5,9.")] = "0-63",
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("avatars"),
    grid: Annotated[bool, typer.Option("--grid", help="One sheet instead of files.")] = False,
) -> None:
    """A checkpoint -> PNG avatars under --out; the same seed gives the same picture."""
    from pipeline import generate as command

    files = command.run(ckpt, seeds, out, grid=grid)
    _say(f"{files[0]}" if len(files) == 1 else f"{len(files)} avatars in {out}")


@app.command()
def summary() -> None:
    """reports/, logs/ -> the table of metrics, the grid's path, the command for the UI."""
    from pipeline import summary as command

    command.run(_paths())


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535)] = 5000) -> None:
    """Open the MLflow UI on this repository's store (or say where the server is)."""
    from pipeline import ui as command

    command.run(_paths(), port)


@app.command()
def clean(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is listed.")] = False,
) -> None:
    """List the progress folders of trainings, finished or not; --remove deletes idle ones."""
    from pipeline import clean as command

    command.run(_paths(), remove=remove)


@weights.command()
def add(file: Annotated[Path, typer.Argument()], params: ParamsFile = PARAMS) -> None:
    """Check a file's sha256 and copy it to weights/; `dvc repro` then computes FID."""
    from pipeline import weights as command

    command.add(file, _paths(), _params(params).features.inception_sha256)


@weights.command()
def fetch(params: ParamsFile = PARAMS) -> None:
    """Download pytorch-fid's weights to weights/ (needs a network)."""
    from pipeline import weights as command

    command.fetch(_paths(), _params(params).features.inception_sha256)


@results.command("add")
def results_add(name: Annotated[str, typer.Argument()], out: Path = Path("docs/results")) -> None:
    """reports/, params.yaml, cache/meta.json -> OUT/NAME.json and OUT/NAME.png."""
    from pipeline import results as command

    command.add(name, _paths(), out)


@results.command("render")
def results_render(folder: Path = Path("docs/results")) -> None:
    """docs/results/*.json -> docs/results.md."""
    from pipeline import results as command

    command.render(folder)


app.add_typer(weights, name="weights")
app.add_typer(results, name="results")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A user's mistake is one line on stderr; only a bug shows a traceback."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:  # typer makes an exit code of Ctrl-C
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        typer.echo("gan: interrupted; the same command goes on where it was", err=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        from gan.errors import GanError

        if isinstance(error, OSError) and error.filename is not None:  # the user's file, not ours
            error = GanError(f"{os.fsdecode(error.filename)}: {error.strerror}; look at this path")
        if not isinstance(error, GanError):
            raise
        typer.echo(f"gan: {error}", err=True)
        raise SystemExit(1) from None


def _run_the_code_that_dvc_hashed() -> None:
    """Hand over to the checkout that DVC runs in, if this is another one.

    `dvc exp run --temp` works in a copy of the repository, but the installed `gan` points to the
    original; the stage must run the code whose hash goes into dvc.lock.
    """
    here = Path.cwd() / "pipeline" / "cli.py"
    if "DVC_STAGE" in os.environ and here.is_file() and not here.samefile(__file__):
        os.environ.pop("PYTHONSAFEPATH", None)  # it would find this file again, for ever
        command = [sys.executable, "-m", "pipeline.cli", *sys.argv[1:]]
        os.execv(sys.executable, command)


def main() -> None:
    """Entry point of the `gan` command."""
    _run_the_code_that_dvc_hashed()
    with _one_line_errors():
        app(standalone_mode=True)


if __name__ == "__main__":
    main()
