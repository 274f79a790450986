"""Declaration of `gan scrape`; it has as many options as all other commands together."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.entry import PARAMS, ParamsFile, here, read


def scrape(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Option(help="embedded, booru:URL, gallery:URL, urls:FILE or archive:FILE|FOLDER."),
    ] = "",
    from_manifest: Annotated[
        Path | None,
        typer.Option(help="Fetch exactly the pictures in another person's manifest.jsonl."),
    ] = None,
    ensure: Annotated[
        bool, typer.Option("--ensure", help="Keep, restore or draw the dataset of source.yaml.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Start over, also where data/ has this source.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many pictures; a booru needs it.")
    ] = None,
    tags: Annotated[
        str, typer.Option(help="booru: tags to search for; gallery: CSS selector of tags.")
    ] = "",
    ratings: Annotated[
        str, typer.Option(help="booru: general (default), sensitive, questionable, explicit.")
    ] = "",
    api: Annotated[
        str, typer.Option(help="booru: auto (default), danbooru, gelbooru or moebooru.")
    ] = "",
    image: Annotated[str, typer.Option(help="gallery: CSS selector of the images.")] = "",
    next_: Annotated[
        str, typer.Option("--next", help="gallery: CSS selector of the link to the next page.")
    ] = "",
    link: Annotated[
        str, typer.Option(help="gallery: CSS selector of links to pages with the images.")
    ] = "",
    licence: Annotated[str, typer.Option(help="Licence note for source.yaml.")] = "",
    allow_private: Annotated[
        list[str] | None,
        typer.Option(help="HOST:PORT that is allowed though it isn't public; repeatable."),
    ] = None,
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
    stage_runs.scrape(request, None if ensure else read(params).scrape, here())
