"""From a source to a dataset: what is missing is fetched, packed, and put in its place."""

from contextlib import closing
from pathlib import Path

from gan.errors import GanError
from pipeline.console import warn
from pipeline.crawl.crawl_log import CrawlLog
from pipeline.crawl.crawl_progress import others, watching
from pipeline.crawl.embedded import Embedded
from pipeline.crawl.http.failure_reasons import NOT_PUBLIC
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import Source
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.known import Known
from pipeline.crawl.storage.writer import count_rows, discard, has_news, publish
from pipeline.dataset.reader import Dataset

Built = tuple[Dataset, int]
"""A dataset, and how many of its images were fetched just now."""

OWN_SERVER = "if it is a server of your own, say so with --allow-private HOST:PORT"


def build(
    source: Source,
    folder: Path,
    known: Known,
    target: Path,
    keep_old: Path,
    log: Path,
    limits: PictureLimits | None = None,
) -> Built:
    """Fetch what `known` lacks and publish both as `target`; an old one goes to `keep_old`.

    The unfinished crawl lies in `folder` and stays there: a killed call goes on from it. Raises
    GanError where nothing was fetched although something was to be had; `target` stays then.
    """
    with Journal(folder, source.identity, known) as journal:
        try:
            with watching(source.total) as show, closing(CrawlLog(log)) as lines:
                sink = Sink(journal, limits, show, lines.write)
                _fetch(source, sink)
        except GanError:
            if not len(journal):
                discard(folder)
            raise
        if not sink.counts["ok"] and (known.dataset is None or sink.counts["failed"]):
            if not sink.counts["failed"]:  # nothing that another try could mend
                discard(folder)
            why = others(sink) or "nothing was listed"
            why = f"nothing was fetched: {why}; {target.name}/ is as it was"
            raise GanError(_with_advice(why))
        if known.dataset is not None and not has_news(journal):
            return known.dataset, 0
        counts = {status: n for status, n in count_rows(journal).items() if n}
        return publish(journal, source.describe(counts), target, keep_old), sink.fetched


def _fetch(source: Source, sink: Sink) -> None:
    """What was listed before a listing broke off is kept; but the gallery is drawn whole."""
    try:
        source.fetch(sink)
    except ListingError as error:
        why = _with_advice(str(error))
        if isinstance(source, Embedded) or not sink.counts["ok"]:
            raise GanError(f"{why}; run again to go on" if error.may_pass else why) from None
        how = "; the same command goes on from here" if error.may_pass else ""
        warn(f"the listing broke off: {why}{how}")


def _with_advice(text: str) -> str:
    """An error, and the option that helps where the server is the person's own."""
    return f"{text}; {OWN_SERVER}" if NOT_PUBLIC in text else text
