"""The dataset in data/: a crawl from its source, or what source.yaml and data.dvc say."""

from gan.errors import GanError
from pipeline.console import progress, say, warn
from pipeline.crawl.data_folder import DataFolder, holds_crawled_images, open_verified
from pipeline.crawl.embedded import Embedded
from pipeline.crawl.http.failure_reasons import (
    CHALLENGE,
    ELSEWHERE,
    FORBIDDEN,
    FORBIDS,
    NOAI,
    NOT_PUBLIC,
)
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.sink import Sink, log_entries
from pipeline.crawl.source import Source, differing_options
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import discard, has_news, publish
from pipeline.dataset.dvc_cache import directory_md5
from pipeline.dataset.reader import Dataset
from pipeline.dataset.source_file import is_embedded, read_source

ADVICE = {
    NOT_PUBLIC: "if it is a server of your own, say so with --allow-private HOST:PORT",
    NOAI: "if you have the right to use them, say so with --allow-noai",
    f"({FORBIDDEN})": FORBIDS,
    CHALLENGE: f"name yourself in scrape.contact, raise scrape.delay, or {ELSEWHERE}",
}
"""Hints by parts of an error."""


def find_earlier_crawl(source: Source, folder: DataFolder) -> EarlierCrawl:
    """The crawl in data/ that `source` continues; an empty one, with a line, where it doesn't.

    Raises GanError where data/ is damaged and holds what only another crawl could bring.
    """
    dataset, problem = open_verified(folder.paths.data)
    if dataset is None:
        if holds_crawled_images(folder.paths.data):
            raise GanError(f"{problem}; or start over with --replace")
    elif source.continues(dataset):
        earlier = EarlierCrawl(dataset, source.is_settled)
        if again := earlier.unsettled:
            counts = ", ".join(f"{count} {status}" for status, count in again.items())
            say(f"data/: entries to ask for again, if they are listed: {counts}")
        return earlier
    elif not is_embedded(dataset.source):
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
) -> tuple[Dataset, int]:
    """Fetch what `earlier` lacks and put both together into data/; an old data/ is set aside.

    Returns the dataset, and how many of its images this call fetched. The unfinished crawl stays
    in data.staging/, so that a killed call resumes from it. Raises GanError where nothing was
    fetched although the source has something; data/ stays then.
    """
    staging, data = folder.crawl_folder(source.identity, replace), folder.paths.data
    with Journal(staging, source.identity, earlier) as journal:
        try:
            path = folder.paths.logs / "scrape" / f"{staging.name}.jsonl"
            with progress("scrape", source.total) as advance, log_entries(path) as log:
                sink = Sink(journal, limits, advance, log)
                _fetch(source, sink)
        except GanError:
            if not len(journal):
                discard(staging)
            raise
        if not sink.counts["ok"] and (earlier.dataset is None or sink.counts["failed"]):
            if not sink.counts["failed"]:  # another try would bring the same
                discard(staging)
            why = sink.describe_rejects() or "nothing was listed"
            raise GanError(_advise(f"nothing was fetched: {why}; {data.name}/ is as it was"))
        if earlier.dataset is not None and not has_news(journal):
            return earlier.dataset, 0
        dataset = publish(journal, source.describe, data, folder.replaced)
        return dataset, sink.fetched


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
    """An error, and what helps against it, where something does."""
    hints = [hint for sign, hint in ADVICE.items() if sign in text]
    return "; ".join([text, *hints])


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


def ensure_dataset(folder: DataFolder) -> tuple[Dataset, int]:
    """Keep, restore by DVC or draw again the dataset that source.yaml describes.

    Returns what `build_dataset` does. Raises GanError where it can't be had without asking a
    stranger's server again, or where a crawl in data/ is not what data.dvc pins.
    """
    source_file = folder.paths.source
    wanted, fetched = read_source(source_file), 0
    dataset, problem = open_verified(folder.paths.data)
    if (dataset is None or dataset.source != wanted) and folder.restore():
        dataset, problem = open_verified(folder.paths.data)
    if dataset is None or dataset.source != wanted:
        if not is_embedded(wanted):
            problem = problem or f"data/ is of another source than {source_file.name} says"
            raise GanError(
                f"{problem}. {wanted['source']} is a pinned crawl, never repeated by itself: "
                f"`dvc pull data.dvc` from a remote that has it, or `gan scrape --source …` to "
                f"replace it"
            )
        gallery = Embedded.parse(wanted, source_file)
        dataset, fetched = build_dataset(gallery, folder, EarlierCrawl())
    _compare_with_pin(dataset, folder)
    folder.write_receipt(dataset)
    return dataset, fetched


def _compare_with_pin(dataset: Dataset, folder: DataFolder) -> None:
    """Refuse a crawl that data.dvc doesn't pin; warn of a gallery that DVC would pin anew."""
    found, pinned = directory_md5(folder.paths.data), folder.pinned_md5
    if not pinned or found == pinned:
        return
    differs = f"data/ (md5 {found}) is not what data.dvc pins ({pinned})"
    if not is_embedded(dataset.source):
        raise GanError(f"{differs}; `dvc add data` pins it, `dvc checkout data.dvc` undoes it")
    warn(f"{differs}: `dvc repro` will change data.dvc")
