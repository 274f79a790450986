"""A crawl from its source to the dataset in data/: fetch what is missing, pack it, publish it."""

from contextlib import closing
from typing import NamedTuple

from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.crawl.crawl_log import CrawlLog
from pipeline.crawl.crawl_progress import describe_rejects, show_progress
from pipeline.crawl.data_folder import DataFolder, holds_crawled_images, open_verified
from pipeline.crawl.embedded import Embedded
from pipeline.crawl.http.failure_reasons import NOT_PUBLIC
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import Source, differing_options
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import count_entries, discard, has_news, publish
from pipeline.dataset.reader import Dataset
from pipeline.dataset.source_file import is_embedded

OWN_SERVER = "if it is a server of your own, say so with --allow-private HOST:PORT"


class BuiltDataset(NamedTuple):
    """The dataset in data/, and how many of its images this call fetched."""

    dataset: Dataset
    fetched: int


def find_earlier_crawl(source: Source, folder: DataFolder) -> EarlierCrawl:
    """The crawl in data/ that `source` continues; an empty one, with a line, where it doesn't.

    Raises GanError where data/ is damaged and holds what only another crawl could bring.
    """
    dataset, problem = open_verified(folder.paths.data)
    if dataset is None:
        if holds_crawled_images(folder.paths.data):
            raise GanError(f"{problem}; or start over with --replace")
        return EarlierCrawl()
    if source.continues(dataset):
        return EarlierCrawl(dataset)
    if not is_embedded(dataset.source):
        other = _describe_difference(dataset, source)
        say(f"data/ is of {other}; it stays until the new one is complete, then it is replaced")
    return EarlierCrawl()


def build_dataset(
    source: Source,
    folder: DataFolder,
    earlier: EarlierCrawl,
    limits: PictureLimits | None = None,
    *,
    replace: bool = False,
) -> BuiltDataset:
    """Fetch what `earlier` lacks and put both together into data/; an old data/ is set aside.

    The unfinished crawl stays in data.staging/, so that a killed call resumes from it. Raises
    GanError where nothing was fetched although the source has something; data/ stays then.
    """
    staging, data = folder.crawl_folder(source.identity, replace), folder.paths.data
    with Journal(staging, source.identity, earlier) as journal:
        try:
            log = CrawlLog(folder.paths.logs / "scrape" / f"{staging.name}.jsonl")
            with show_progress(source.total) as show, closing(log):
                sink = Sink(journal, limits, show, log.write)
                _fetch(source, sink)
        except GanError:
            if not len(journal):
                discard(staging)
            raise
        if not sink.counts["ok"] and (earlier.dataset is None or sink.counts["failed"]):
            if not sink.counts["failed"]:  # another try would bring the same
                discard(staging)
            why = describe_rejects(sink) or "nothing was listed"
            raise GanError(_advise(f"nothing was fetched: {why}; {data.name}/ is as it was"))
        if earlier.dataset is not None and not has_news(journal):
            return BuiltDataset(earlier.dataset, 0)
        counts = {status: n for status, n in count_entries(journal).items() if n}
        dataset = publish(journal, source.describe(counts), data, folder.replaced)
        return BuiltDataset(dataset, sink.fetched)


def _fetch(source: Source, sink: Sink) -> None:
    """Keep what was listed before a listing broke off; but the gallery is drawn whole."""
    try:
        source.fetch(sink)
    except ListingError as error:
        why = _advise(str(error))
        if isinstance(source, Embedded) or not sink.counts["ok"]:
            raise GanError(f"{why}; run again to resume" if error.may_pass else why) from None
        how = "; run the same command again to resume" if error.may_pass else ""
        warn(f"the listing broke off: {why}{how}")


def _advise(text: str) -> str:
    """An error, and the option that helps where the server is the person's own."""
    return f"{text}; {OWN_SERVER}" if NOT_PUBLIC in text else text


def _describe_difference(dataset: Dataset, source: Source) -> str:
    """The reason why `source` doesn't continue the crawl in data/."""
    old, new = dataset.source, source.identity
    names = differing_options(new, old)
    if "source" in names:
        return f"another source, {old['source']}"
    if not names:
        return f"another {old['source']}, with other pictures"
    changes = ", ".join(f"{name} {old.get(name)!r}, now {new[name]!r}" for name in names)
    return f"the same source with other options ({changes})"
