"""Declarations of the stages, and of `gan generate`.

Each body imports what it needs, so that help is fast.
"""

from pathlib import Path
from typing import Annotated

from typer import Context, Option, echo

from pipeline.cli.entry import PARAMS, ParamsFile, here, read


def scrape(
    context: Context,
    source: Annotated[
        str, Option(help="embedded, booru:URL, gallery:URL, urls:FILE or archive:PATH.")
    ] = "",
    from_manifest: Annotated[
        Path | None, Option(help="Fetch the pictures in another person's manifest.jsonl.")
    ] = None,
    ensure: Annotated[
        bool, Option("--ensure", help="Keep, restore or draw the dataset of source.yaml.")
    ] = False,
    replace: Annotated[
        bool, Option("--replace", help="Start over, also where data/ has this source.")
    ] = False,
    limit: Annotated[int | None, Option(min=1, help="Pictures at most; a booru needs it.")] = None,
    tags: Annotated[str, Option(help="booru: search tags; gallery: CSS selector of tags.")] = "",
    ratings: Annotated[
        str, Option(help="booru: general (default), sensitive, questionable, explicit.")
    ] = "",
    api: Annotated[str, Option(help="booru: auto (default), danbooru, gelbooru, moebooru.")] = "",
    image: Annotated[str, Option(help="gallery: CSS selector of the images.")] = "",
    next_: Annotated[str, Option("--next", help="gallery: CSS selector of next-page links.")] = "",
    link: Annotated[str, Option(help="gallery: CSS selector of links to image pages.")] = "",
    licence: Annotated[
        str, Option("--licence", "--license", help="Licence note for source.yaml.")
    ] = "",
    allow_private: Annotated[
        list[str] | None, Option(help="HOST:PORT to allow though not public; repeatable.")
    ] = None,
    allow_noai: Annotated[
        bool, Option("--allow-noai", help="Take what its site keeps from AI: only with the right.")
    ] = False,
    params: ParamsFile = PARAMS,
) -> None:
    """Fetch pictures from a source into the dataset in data/.

    Reads the source that --source names, or with --ensure source.yaml and data.dvc. Writes data/
    (tar shards and a manifest), data.ok, reports/data_card.md and .json and, without --ensure,
    source.yaml and data.dvc. A dataset of the same source grows, that of another is replaced.
    """
    from pipeline.crawl.request import ScrapeRequest
    from pipeline.tracking import stage_runs

    options = {name.rstrip("_"): value for name, value in context.params.items()}
    del options["params"]
    request = ScrapeRequest(**options | {"allow_private": tuple(allow_private or ())})
    values = None if ensure and not params.exists() else read(params)
    attributes = values.preprocess.attributes if values else None
    stage_runs.scrape(
        request, values.scrape if values and not ensure else None, here(), attributes
    )


def preprocess(params: ParamsFile = PARAMS) -> None:
    """Decode data/ into the tensor cache.

    Reads data/ and faces/. Writes cache/ (uint8 tensor, labels, index, split) and in reports/
    preprocess.json, rejects.tsv and .png (what was left out, and why), duplicates.tsv and .png,
    filters.png (where the limits cut), attributes.png (images of each label), contact_sheet.png.
    """
    from pipeline.preprocessing.report import describe_summary
    from pipeline.tracking import stage_runs

    values = read(params)
    summary = stage_runs.preprocess(values, here())
    echo(describe_summary(summary, faces=values.preprocess.crop == "faces"))


def reference(params: ParamsFile = PARAMS) -> None:
    """Extract features of the real images.

    Reads cache/ and weights/. Writes reference/ (feature statistics) and reports/reference.json.
    """
    from pipeline.tracking import stage_runs

    summary = stage_runs.reference(read(params), here())
    echo("reference/: " + ", ".join(summary.extractors))


def train(
    params: ParamsFile = PARAMS,
    resume: Annotated[bool, Option("--resume", help="Fail if nothing is left to resume.")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Try a few steps; print memory and time.")
    ] = False,
    minutes: Annotated[int | None, Option(min=1, help="With --dry-run: images that fit.")] = None,
) -> None:
    """Train the GAN, or resume a training that was killed.

    Reads cache/. Writes models/snapshots/, models/final.pt, reports/losses.tsv and
    reports/samples.png. A killed training resumes from its newest
    checkpoint. logs/latest.png always shows the newest grid. --dry-run writes nothing.
    """
    if dry_run:
        from pipeline.housekeeping.dry_run import describe_dry_run

        echo(describe_dry_run(read(params), here(), minutes))
        return
    if minutes is not None:
        from gan.errors import GanError

        raise GanError("--minutes goes with --dry-run, which measures the rate")
    from pipeline.tracking import stage_runs

    stage_runs.train(read(params), here(), resume=resume)


def generate(
    ckpt: Annotated[Path, Option(help="Checkpoint: models/best.pt or any other.")],
    seeds: Annotated[str, Option(help="Such as 0-63 or 1,5,9.")] = "0-63",
    out: Annotated[Path, Option(help="Folder for the PNG files.")] = Path("avatars"),
    grid: Annotated[bool, Option("--grid", help="One sheet instead of files.")] = False,
    truncation: Annotated[
        float, Option(min=0.0, max=1.0, help="Below 1: more typical, less varied; 0: all equal.")
    ] = 1.0,
) -> None:
    """Make PNG avatars from seeds.

    Reads a checkpoint. Writes PNG files under --out; the same seed gives the same picture.
    """
    from pipeline.pictures import generate as command

    files = command.run(ckpt, seeds, out, grid=grid, truncation=truncation)
    echo(f"{files[0]}" if len(files) == 1 else f"{len(files)} avatars in {out}")
