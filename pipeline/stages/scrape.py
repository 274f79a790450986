"""Stage `scrape`: the dataset in data/, source.yaml and the receipt data.ok.

With --ensure data/ becomes what source.yaml and data.dvc say, and a real crawl is never replaced.
Without it the images of a source are fetched: those of a new source take the place of data/,
those of the same source are added to it, and data.dvc pins the result.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan.params.data import AttributesParams, ScrapeParams
from pipeline.console import say
from pipeline.crawl.build import build_dataset, ensure_dataset, find_earlier_crawl
from pipeline.crawl.data_card.card import write_card
from pipeline.crawl.data_folder import DataFolder
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.registry import choose_source
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.source import Source
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.dataset.source_file import write_source
from pipeline.paths import Paths


@dataclass(frozen=True)
class ScrapeSummary:
    """The dataset in data/: entries by status, digest, source, and the files about it.

    `fetched` counts the images that came in this call; `card` is the data card in Markdown, beside
    it is the same as JSON; `sheet` is a contact sheet.
    """

    counts: dict[str, int]
    digest: str
    source: dict[str, Any]
    fetched: int = field(compare=False)
    card: Path = field(compare=False)
    sheet: Path = field(compare=False)


def run(
    request: ScrapeRequest,
    settings: ScrapeParams | None,
    paths: Paths,
    source: Source | None = None,
    attributes: AttributesParams | None = None,
) -> ScrapeSummary:
    """Bring data/ to what `request` says; `settings` may be None where it says --ensure.

    source: that of the request, if it is built already. attributes: the labels that the data card
    counts.

    Raises GanError; Ctrl-C and kills leave a state from which the same call resumes.
    """
    folder = DataFolder(paths)
    with folder.lock():
        folder.finish_replacement()  # of a call that was killed
        if request.ensure:
            dataset, fetched = ensure_dataset(folder)
            identity = dataset.source
        else:
            assert settings is not None
            source = source or choose_source(request, settings, paths)
            identity = source.identity
            earlier = EarlierCrawl() if request.replace else find_earlier_crawl(source, folder)
            folder.check_pin()
            limits = PictureLimits(settings.max_bytes, settings.max_pixels)
            dataset, fetched = build_dataset(
                source, folder, earlier, limits, replace=request.replace
            )
            write_source(paths.source, dataset.source)
            folder.write_receipt(dataset)
            folder.renew_pin()
            if (failed := dataset.counts["failed"]) and not request.from_manifest:
                say(f"{failed} failed: the same command tries them again")
        folder.finish_replacement(dataset)
        card, sheet = write_card(dataset, paths.reports, paths.logs / "scrape", attributes)
        folder.discard_crawls(identity)  # last, so that a kill before costs no fetched image
    counts = ", ".join(f"{count} {status}" for status, count in dataset.counts.items() if count)
    sys.stdout.write(f"data/: {counts}; {fetched} new; digest {dataset.digest[:12]}\n")
    return ScrapeSummary(dataset.counts, dataset.digest, dataset.source, fetched, card, sheet)
