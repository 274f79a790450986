"""Stage `scrape`: data/, source.yaml and the receipt data.ok, from a source of pictures.

`ensure` makes data/ what source.yaml and data.dvc say, and never replaces a real crawl; without
it a person asks for a new snapshot, which is then pinned.
"""

import hashlib
import json
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gan.errors import GanError
from pipeline.crawl.sink import Sink
from pipeline.crawl.source import Source
from pipeline.crawl.sources import embedded_from, from_option, is_embedded
from pipeline.paths import Paths
from pipeline.pin import Pin, directory_md5
from pipeline.progress import progress
from pipeline.snapshot.durable import write_text
from pipeline.snapshot.journal import Journal
from pipeline.snapshot.reader import Snapshot
from pipeline.snapshot.writer import discard, publish, recover

HEADER = "# What data/ is a snapshot of; written by `gan scrape`.\n"


@dataclass(frozen=True)
class Summary:
    """What the stage left behind: rows by status, the snapshot's digest, and its source."""

    counts: dict[str, int]
    digest: str
    source: dict[str, Any]


def run(
    source: str | None, paths: Paths, *, ensure: bool, limit: int | None, tags: str, licence: str
) -> Summary:
    """Bring data/ into being, write data.ok, and say in one line what data/ holds.

    With `ensure`: keep, restore or redraw what source.yaml describes. Without: build a snapshot of
    `source` (source.yaml's gallery if None), write source.yaml, pin it with DVC. Raises GanError;
    Ctrl-C and kills leave a state from which the same call goes on.
    """
    if ensure and (source or limit or tags or licence):
        raise GanError("--ensure keeps to source.yaml: it goes with no other option")
    desk = _Desk(paths, Pin(paths))
    desk.tidy()
    snapshot = desk.ensure() if ensure else desk.replace(source, limit, tags, licence)
    desk.tidy()
    counts = ", ".join(f"{count} {status}" for status, count in snapshot.counts.items() if count)
    sys.stdout.write(f"data/: {counts}; digest {snapshot.digest[:12]}\n")
    return Summary(snapshot.counts, snapshot.digest, snapshot.source)


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

    def ensure(self) -> Snapshot:
        """data/ as source.yaml says: kept, restored, or drawn again if it is the gallery's."""
        wanted = _read_source(self.paths.source)
        snapshot, problem = _open_whole(self.paths.data)
        if (snapshot is None or snapshot.source != wanted) and self._restore():
            snapshot, problem = _open_whole(self.paths.data)
        if snapshot is None or snapshot.source != wanted:
            if not is_embedded(wanted):
                raise GanError(_describe_unavailable(self.paths, problem))
            source = embedded_from(wanted, self.paths.source)
            snapshot = self._build(source)
            self._forget(source, snapshot)
        self._compare(snapshot)
        self._write_receipt(snapshot)
        return snapshot

    def replace(self, option: str | None, limit: int | None, tags: str, licence: str) -> Snapshot:
        """A new snapshot, its source.yaml, its receipt and its pin, in that order."""
        if option is None and not (limit or tags or licence):
            source: Source = self._described_source()
        else:
            source = from_option(option or "embedded", limit, tags, licence)
        snapshot = self._build(source)
        text = yaml.safe_dump(snapshot.source, sort_keys=False, allow_unicode=True)
        if _read_source_or_none(self.paths.source) != snapshot.source:
            write_text(self.paths.source, HEADER + text)
        self._write_receipt(snapshot)
        if self.pin.in_dvc:
            before = self.pin.md5
            self.pin.renew()
            _say(f"data.dvc: {before or 'nothing'} -> {self.pin.md5}; commit it with source.yaml")
        self._forget(source, snapshot)
        return snapshot

    def tidy(self) -> None:
        """After a new data/ stands, remove the old one; kept where nothing else has it."""
        recover(self.paths.data, self.replaced)
        if not self.replaced.exists():
            return
        snapshot, _ = _open_whole(self.replaced)
        md5 = directory_md5(self.replaced)
        if snapshot is None or is_embedded(snapshot.source) or self._is_elsewhere(md5):
            shutil.rmtree(self.replaced)
        else:
            kept = self.paths.root / "data.old" / md5[:12]
            kept.parent.mkdir(exist_ok=True)
            self.replaced.rename(kept)
            _say(f"warning: the old data/ is not in DVC's cache; it is kept in {kept}")
        with suppress(OSError):
            self.staging.rmdir()

    def _is_elsewhere(self, md5: str) -> bool:
        return directory_md5(self.paths.data) == md5 or self.pin.holds(md5)

    def _described_source(self) -> Source:
        described = _read_source(self.paths.source)
        if not is_embedded(described):
            raise GanError(f"{described.get('source')}: to crawl it anew, give --source")
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

    def _build(self, source: Source) -> Snapshot:
        """Fetch what is missing, pack it, put it at data/; goes on where a killed build was."""
        identity = source.identity
        folder = self._staged(identity)
        with Journal(folder, identity) as journal:
            with progress("scrape", source.total) as advance:
                source.fetch(Sink(journal, advance))
            if not any(entry.row.status == "ok" for entry in journal.entries):
                discard(folder)
                raise GanError(f"{identity['source']}: {_describe_failure(journal)}")
            description = source.describe(len(journal.entries))
            return publish(journal, description, self.paths.data, self.replaced)

    def _staged(self, identity: dict[str, Any]) -> Path:
        """A folder for each source, so that one unfinished crawl never costs another one."""
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return self.staging / key[:12]

    def _forget(self, source: Source, snapshot: Snapshot) -> None:
        """Remove the journal that led to data/, unless the same call can still mend a row.

        Last of all, so that a kill before source.yaml and the pin are written costs nothing.
        """
        folder = self._staged(source.identity)
        if failed := snapshot.counts["failed"]:
            _say(
                f"{failed} failed: the same command tries them again; to begin anew rm -r {folder}"
            )
        else:
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
        write_text(self.paths.receipt, json.dumps(values, indent=2) + "\n")


def _open_whole(folder: Path) -> tuple[Snapshot | None, str]:
    """A snapshot whose every byte was checked, or None and why there is none."""
    try:
        snapshot = Snapshot.open(folder)
        snapshot.verify()
    except GanError as error:
        return None, str(error)
    return snapshot, ""


def _read_source(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GanError(
            f"{path}: no such file; `git checkout` it or `gan scrape --source …`"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GanError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or "source" not in values:
        raise GanError(f"{path}: must say `source:`")
    return values


def _read_source_or_none(path: Path) -> dict[str, Any] | None:
    try:
        return _read_source(path)
    except GanError:
        return None


def _describe_unavailable(paths: Paths, problem: str) -> str:
    name = _read_source(paths.source)["source"]
    what = problem or f"{paths.data} is of another source than {paths.source.name} says"
    return (
        f"{what}. {name} is a pinned crawl, never repeated by itself: `dvc pull data.dvc` from a "
        f"remote that has it, or `gan scrape --source …` to replace it"
    )


def _describe_failure(journal: Journal) -> str:
    reasons = sorted({f"{e.row.status}: {e.row.reason}" for e in journal.entries})
    return f"not one picture; {'; '.join(reasons[:3]) or 'nothing was listed'}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
