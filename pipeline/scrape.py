"""Stage `scrape`: data/, source.yaml and the receipt data.ok, from a source of pictures.

`ensure` makes data/ what source.yaml and data.dvc say, and never replaces a real crawl; without
it a person asks for pictures: those of a new source take the place of data/, those of the same
source are added to it. Then data.dvc pins the result.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan.durable import write_atomically
from gan.errors import GanError
from gan.params import ScrapeParams
from pipeline.crawl.build import Built, build
from pipeline.crawl.pictures import PictureLimits
from pipeline.crawl.source import Source
from pipeline.crawl.sources import Options, embedded_from, from_options, is_embedded
from pipeline.datacard.files import write_card
from pipeline.paths import Paths
from pipeline.pin import Pin, directory_md5
from pipeline.snapshot.known import Known
from pipeline.snapshot.reader import Snapshot
from pipeline.snapshot.writer import discard, recover
from pipeline.source_file import read_source, write_source


@dataclass(frozen=True)
class Summary:
    """What the stage left behind: rows by status, the snapshot's digest, its source, files.

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


def _run(paths: Paths, work: "Callable[[_Desk], Built]") -> Summary:
    desk = _Desk(paths, Pin(paths))
    desk.tidy()
    snapshot, fetched = work(desk)
    desk.tidy()
    card, sheet = write_card(snapshot, paths.reports, paths.logs / "scrape")
    counts = ", ".join(f"{count} {status}" for status, count in snapshot.counts.items() if count)
    sys.stdout.write(f"data/: {counts}; {fetched} new; digest {snapshot.digest[:12]}\n")
    return Summary(snapshot.counts, snapshot.digest, snapshot.source, fetched, card, sheet)


@dataclass(frozen=True)
class _Desk:
    """The places and the pin that one run works with."""

    paths: Paths
    pin: Pin

    @property
    def staging(self) -> Path:
        return self.paths.root / "data.staging"

    @property
    def replaced(self) -> Path:
        """Where the old data/ waits until the new one stands."""
        return self.staging / "replaced"

    def ensure(self) -> Built:
        """data/ as source.yaml says: kept, restored, or drawn again if it is the gallery's."""
        wanted = read_source(self.paths.source)
        fetched = 0
        snapshot, problem = _open_whole(self.paths.data)
        if (snapshot is None or snapshot.source != wanted) and self._restore():
            snapshot, problem = _open_whole(self.paths.data)
        if snapshot is None or snapshot.source != wanted:
            if not is_embedded(wanted):
                raise GanError(_describe_unavailable(self.paths, problem))
            source = embedded_from(wanted, self.paths.source)
            snapshot, fetched = self._build(source, self._staged(source), Known())
            self._forget(self._staged(source))
        self._compare(snapshot)
        self._write_receipt(snapshot)
        return snapshot, fetched

    def fetch(self, options: Options, params: ScrapeParams, replace: bool) -> Built:
        """A snapshot, its source.yaml, its receipt and its pin, in that order."""
        source = from_options(options, params) if options.given else self._described_source()
        known = Known() if replace else self._earlier(source)
        limits = PictureLimits(params.max_bytes, params.max_pixels)
        folder = self._staged(source, replace)
        snapshot, fetched = self._build(source, folder, known, limits)
        write_source(self.paths.source, snapshot.source)
        self._write_receipt(snapshot)
        self._renew_pin()
        self._forget(folder)
        if failed := snapshot.counts["failed"]:
            _say(f"{failed} failed: the same command tries them again")
        return snapshot, fetched

    def _renew_pin(self) -> None:
        if not self.pin.in_dvc:
            return
        before = self.pin.md5
        self.pin.renew()
        if before != self.pin.md5:
            _say(f"data.dvc: {before or 'nothing'} -> {self.pin.md5}; commit it with source.yaml")

    def _earlier(self, source: Source) -> Known:
        """What data/ holds, if it is an earlier crawl of this very source."""
        snapshot, problem = _open_whole(self.paths.data)
        if snapshot is None:
            if self.paths.data.exists():
                _say(f"warning: data/ is not whole, so nothing of it is kept: {problem}")
            return Known()
        if source.continues(snapshot):
            return Known(snapshot)
        if not is_embedded(snapshot.source):
            _say(f"data/ is of another source, {snapshot.source['source']}: it is replaced")
        return Known()

    def tidy(self) -> None:
        """After a new data/ stands, remove the old one; kept where nothing else has it."""
        recover(self.paths.data, self.replaced)
        if not self.replaced.exists():
            return
        snapshot, _ = _open_whole(self.replaced)
        md5 = directory_md5(self.replaced)
        if snapshot is None or is_embedded(snapshot.source) or self._is_elsewhere(snapshot, md5):
            shutil.rmtree(self.replaced)
        else:
            kept = self.paths.root / "data.old" / md5[:12]
            kept.parent.mkdir(exist_ok=True)
            self.replaced.rename(kept)
            _say(f"warning: the old data/ is not in DVC's cache; it is kept in {kept}")
        with suppress(OSError):
            self.staging.rmdir()

    def _is_elsewhere(self, old: Snapshot, md5: str) -> bool:
        new, _ = _open_whole(self.paths.data)
        grown = new is not None and old.shards.items() <= new.shards.items()
        return grown or self.pin.holds(md5)

    def _described_source(self) -> Source:
        described = read_source(self.paths.source)
        if not is_embedded(described):
            raise GanError(f"{described.get('source')}: to crawl it again, give --source")
        return embedded_from(described, self.paths.source)

    def _restore(self) -> bool:
        """True where DVC brought the pinned data/ back; otherwise data/ is as it was before."""
        data = self.paths.data
        if data.is_dir() and directory_md5(data) == self.pin.md5:
            return False
        self.staging.mkdir(exist_ok=True)
        if data.exists():
            data.rename(self.replaced)
        if self.pin.restore():
            _say("data/ restored from DVC")
            return True
        shutil.rmtree(data, ignore_errors=True)
        recover(data, self.replaced)
        return False

    def _build(
        self, source: Source, folder: Path, known: Known, limits: PictureLimits | None = None
    ) -> Built:
        log = self.paths.logs / "scrape" / f"{folder.name}.jsonl"
        return build(source, folder, known, self.paths.data, self.replaced, log, limits)

    def _staged(self, source: Source, replace: bool = False) -> Path:
        """A folder for each source, so that one unfinished crawl never costs another one."""
        identity = json.dumps([source.identity, replace], sort_keys=True)
        return self.staging / hashlib.sha256(identity.encode()).hexdigest()[:12]

    def _forget(self, folder: Path) -> None:
        """Remove the journal that led to data/.

        Last of all, so that a kill before source.yaml and the pin are written costs nothing.
        """
        discard(folder)
        with suppress(OSError):
            self.staging.rmdir()

    def _compare(self, snapshot: Snapshot) -> None:
        """Never let DVC re-pin in silence: it does so when data/ isn't what data.dvc says."""
        found, pinned = directory_md5(self.paths.data), self.pin.md5
        if not pinned or found == pinned:
            return
        differs = f"data/ (md5 {found}) is not what data.dvc pins ({pinned})"
        if not is_embedded(snapshot.source):
            raise GanError(f"{differs}; `dvc add data` pins it, `dvc checkout data.dvc` undoes it")
        _say(f"warning: {differs}: `dvc repro` will change data.dvc")

    def _write_receipt(self, snapshot: Snapshot) -> None:
        values = {"digest": snapshot.digest, "source": snapshot.source}
        write_atomically(self.paths.receipt, json.dumps(values, indent=2) + "\n")


def _open_whole(folder: Path) -> tuple[Snapshot | None, str]:
    """A snapshot whose every byte was checked, or None and why there is none."""
    try:
        snapshot = Snapshot.open(folder)
        snapshot.verify()
    except GanError as error:
        return None, str(error)
    return snapshot, ""


def _describe_unavailable(paths: Paths, problem: str) -> str:
    name = read_source(paths.source)["source"]
    what = problem or f"{paths.data} is of another source than {paths.source.name} says"
    return (
        f"{what}. {name} is a pinned crawl, never repeated by itself: `dvc pull data.dvc` from a "
        f"remote that has it, or `gan scrape --source …` to replace it"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
