"""Stage `scrape`: data/, source.yaml and the receipt data.ok, from a source of pictures.

`ensure` makes data/ what source.yaml and data.dvc say, and never replaces a real crawl; without
it a person asks for pictures: those of a new source take the place of data/, those of the same
source are added to it. Then data.dvc pins the result.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.console import say, warn
from pipeline.crawl.data_card.files import write_card
from pipeline.crawl.data_folder import Shelf, holds_pictures, open_whole
from pipeline.crawl.data_pin import Pin, directory_md5
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.options import KINDS, Options, embedded_from, from_options, is_embedded
from pipeline.crawl.run import Built, build
from pipeline.crawl.source import Source, differing
from pipeline.crawl.storage.known import Known
from pipeline.dataset.reader import Dataset
from pipeline.dataset.source_file import read_source, write_source
from pipeline.paths import Paths

COMMIT = "commit it with source.yaml, reports/data_card.md and reports/data_card.json"


@dataclass(frozen=True)
class Summary:
    """What the stage left behind: rows by status, the dataset's digest, its source, files.

    `fetched` counts the images that came in this call; `card` is the data card in Markdown, beside
    it stands the same as JSON; `sheet` a contact sheet.
    """

    counts: dict[str, int]
    digest: str
    source: dict[str, Any]
    fetched: int = field(compare=False)
    card: Path = field(compare=False)
    sheet: Path = field(compare=False)


def refuse_mixture(options: Options, *, ensure: bool, replace: bool) -> None:
    """Raise GanError where --ensure stands beside an option that it would ignore."""
    if ensure and (options.given or replace):
        raise GanError("--ensure keeps to source.yaml: it goes with no other option")


def ensure(paths: Paths) -> Summary:
    """Keep, restore or redraw what source.yaml describes, and write data.ok.

    Raises GanError where that can't be had without asking a stranger's server again.
    """
    return _run(paths, lambda desk: desk.ensure())


def run(options: Options, paths: Paths, params: ScrapeParams, *, replace: bool) -> Summary:
    """Fetch what the options ask for, add it to data/ or put it there, pin it with DVC.

    data/ of the same source grows, unless `replace`; data/ of another source is replaced. Without
    any option source.yaml's gallery is drawn. Raises GanError; Ctrl-C and kills leave a state
    from which the same call goes on.
    """
    return _run(paths, lambda desk: desk.fetch(options, params, replace))


def _run(paths: Paths, work: "Callable[[_Desk], _Done]") -> Summary:
    shelf = Shelf(paths, Pin(paths))
    with shelf.alone():
        shelf.tidy()
        done = work(_Desk(paths, shelf))
        dataset, fetched = done.dataset, done.fetched
        shelf.tidy(dataset)
        card, sheet = write_card(dataset, paths.reports, paths.logs / "scrape")
        # Last of all, so that a kill before here costs nothing.
        shelf.forget(*done.crawls)
    counts = ", ".join(f"{count} {status}" for status, count in dataset.counts.items() if count)
    sys.stdout.write(f"data/: {counts}; {fetched} new; digest {dataset.digest[:12]}\n")
    return Summary(dataset.counts, dataset.digest, dataset.source, fetched, card, sheet)


@dataclass(frozen=True)
class _Done:
    """A dataset that stands, how many images are new, and the crawls that led to it."""

    dataset: Dataset
    fetched: int
    crawls: tuple[Path, ...]


@dataclass(frozen=True)
class _Desk:
    """The places that one run works at."""

    paths: Paths
    shelf: Shelf

    @property
    def pin(self) -> Pin:
        return self.shelf.pin

    def ensure(self) -> _Done:
        """data/ as source.yaml says: kept, restored, or drawn again if it is the gallery's."""
        wanted = read_source(self.paths.source)
        fetched, crawl = 0, self._staged(wanted)
        dataset, problem = open_whole(self.paths.data)
        if (dataset is None or dataset.source != wanted) and self.shelf.restore():
            dataset, problem = open_whole(self.paths.data)
        if dataset is None or dataset.source != wanted:
            if not is_embedded(wanted):
                raise GanError(_describe_unavailable(self.paths, problem))
            source = embedded_from(wanted, self.paths.source)
            dataset, fetched = self._build(source, crawl, Known())
        self._compare(dataset)
        self._write_receipt(dataset)
        return _Done(dataset, fetched, (crawl,))

    def fetch(self, options: Options, params: ScrapeParams, replace: bool) -> _Done:
        """A dataset, its source.yaml, its receipt and its pin, in that order."""
        source = from_options(options, params) if options.given else self._described_source()
        known = Known() if replace else self._earlier(source)
        limits = PictureLimits(params.max_bytes, params.max_pixels)
        crawls = tuple(self._staged(source.identity, each) for each in (False, True))
        _ = self.pin.md5  # a broken data.dvc is told before the crawl, not after
        dataset, fetched = self._build(source, crawls[replace], known, limits)
        write_source(self.paths.source, dataset.source)
        self._write_receipt(dataset)
        self._renew_pin()
        if (failed := dataset.counts["failed"]) and not options.from_manifest:
            say(f"{failed} failed: the same command tries them again")
        return _Done(dataset, fetched, crawls)

    def _renew_pin(self) -> None:
        if not self.pin.in_dvc:
            return
        before = self.pin.md5
        self.pin.renew()
        if before != self.pin.md5:
            say(f"data.dvc: {before or 'nothing'} -> {self.pin.md5}; {COMMIT}")

    def _earlier(self, source: Source) -> Known:
        """What data/ holds, if it is an earlier crawl of this very source."""
        dataset, problem = open_whole(self.paths.data)
        if dataset is None:
            if holds_pictures(self.paths.data):
                raise GanError(f"{problem}; or start over with --replace")
            return Known()
        if source.continues(dataset):
            return Known(dataset)
        if not is_embedded(dataset.source):
            what = _describe_difference(dataset.source, source.identity)
            say(f"data/ is of {what}; it stays until the new one is complete, then it is replaced")
        return Known()

    def _described_source(self) -> Source:
        described = read_source(self.paths.source)
        if not is_embedded(described):
            what = f"{self.paths.source.name} is of {described['source']}, no embedded gallery"
            raise GanError(f"{what}: give --source ({KINDS}) or --from-manifest FILE")
        return embedded_from(described, self.paths.source)

    def _build(
        self, source: Source, folder: Path, known: Known, limits: PictureLimits | None = None
    ) -> Built:
        log = self.paths.logs / "scrape" / f"{folder.name}.jsonl"
        return build(source, folder, known, self.paths.data, self.shelf.replaced, log, limits)

    def _staged(self, identity: dict[str, Any], replace: bool = False) -> Path:
        """A folder for each source, so that one unfinished crawl never costs another one."""
        text = json.dumps([identity, replace], sort_keys=True, default=str)
        return self.shelf.staging / hashlib.sha256(text.encode()).hexdigest()[:12]

    def _compare(self, dataset: Dataset) -> None:
        """Never let DVC re-pin in silence: it does so when data/ isn't what data.dvc says."""
        found, pinned = directory_md5(self.paths.data), self.pin.md5
        if not pinned or found == pinned:
            return
        differs = f"data/ (md5 {found}) is not what data.dvc pins ({pinned})"
        if not is_embedded(dataset.source):
            raise GanError(f"{differs}; `dvc add data` pins it, `dvc checkout data.dvc` undoes it")
        warn(f"{differs}: `dvc repro` will change data.dvc")

    def _write_receipt(self, dataset: Dataset) -> None:
        values = {"digest": dataset.digest, "source": dataset.source}
        write_atomically(self.paths.receipt, json.dumps(values, indent=2) + "\n")


def _describe_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What makes `new` not go on with the crawl that a source.yaml describes as `old`."""
    names = differing(new, old)
    if "source" in names:
        return f"another source, {old['source']}"
    if not names:
        return f"another {old['source']}, with other pictures"
    changes = ", ".join(f"{name} {old.get(name)!r}, now {new[name]!r}" for name in names)
    return f"the same source with other options ({changes})"


def _describe_unavailable(paths: Paths, problem: str) -> str:
    name = read_source(paths.source)["source"]
    what = problem or f"{paths.data} is of another source than {paths.source.name} says"
    return (
        f"{what}. {name} is a pinned crawl, never repeated by itself: `dvc pull data.dvc` from a "
        f"remote that has it, or `gan scrape --source …` to replace it"
    )
