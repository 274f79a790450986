"""Packs an unfinished dataset into shards and puts it in the place of the old one.

Where a crawl builds on an older dataset, that one's shards stay as they are, byte for byte, and
new ones come behind them; its manifest keeps its rows and their order.
"""

import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from gan.atomic import open_atomically, sync_folder, write_atomically
from gan.errors import GanError
from pipeline.crawl.storage.journal import JOURNAL, Entry, Journal
from pipeline.dataset.layout import (
    DESCRIPTION,
    EXTENSIONS,
    FORMAT,
    IMAGES_A_SHARD,
    MANIFEST,
    digest_files,
    mark_file,
    shard_name,
)
from pipeline.dataset.manifest import STATUSES, ManifestEntry
from pipeline.dataset.reader import Dataset

PACKED = "packed"


def publish(journal: Journal, source: dict[str, Any], target: Path, keep_old: Path) -> Dataset:
    """Pack the journal's rows, in source order, into a dataset that then becomes `target`.

    It begins with all that the dataset behind `journal.known` holds. `source` says what it is
    of. An old dataset stands at `target` until the new
    one is complete on disk, and at `keep_old` afterwards; `recover` mends a kill between the two
    renames. The journal stays: its owner discards it when all else is done. Raises GanError where
    no image is there to pack, or where the disk gave some back damaged: those count as failed.
    """
    packed = journal.folder / PACKED
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir()
    _pack(journal, source, packed)
    if target.exists():
        shutil.rmtree(keep_old, ignore_errors=True)
        target.rename(keep_old)
    packed.rename(target)
    sync_folder(target.parent)
    return Dataset.open(target)


def count_entries(journal: Journal) -> dict[str, int]:
    """Rows by status, every status named, that a dataset of this journal will have."""
    counts = Counter(row.status for row in _rows(journal))
    return {status: counts[status] for status in STATUSES}


def has_news(journal: Journal) -> bool:
    """True where the journal says more than the dataset that it builds on."""
    known = journal.known
    return any(
        entry.row.status != "failed" or not known.has_entry(entry.row.url)
        for entry in _new_entries(journal)
    )


def recover(target: Path, keep_old: Path) -> None:
    """Put the old dataset back where a kill fell between `publish`'s two renames."""
    if keep_old.exists() and not target.exists():
        keep_old.rename(target)


def discard(folder: Path) -> None:
    """Remove an unfinished dataset; its journal first, so that a half removed one is none."""
    (folder / JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _pack(journal: Journal, source: dict[str, Any], folder: Path) -> None:
    shards = _take_over(journal.known.dataset, folder)
    waiting = _new_images(journal)
    while images := list(islice(waiting, IMAGES_A_SHARD)):
        _write_shard(folder / shard_name(shards), journal, images)
        shards += 1
    if not shards:
        raise GanError(f"{journal.folder}: not one image to keep among {len(journal)} addresses")
    counts = _write_manifest(folder / MANIFEST, _rows(journal))
    # Last: its presence says that everything before it is complete.
    files = {path.name: mark_file(path) for path in sorted(folder.iterdir())}
    description = {
        "format": FORMAT,
        "source": source,
        "counts": counts,
        "files": {name: asdict(mark) for name, mark in files.items()},
        "digest": digest_files(files),
    }
    write_atomically(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def _take_over(old: Dataset | None, folder: Path) -> int:
    """Put the old dataset's shards into `folder`; how many there are."""
    if old is None:
        return 0
    for name in old.shards:
        try:
            os.link(os.path.realpath(old.folder / name), folder / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(old.folder / name, folder / name)
    return len(old.shards)


def _new_entries(journal: Journal) -> Iterator[Entry]:
    known = journal.known
    return (each for each in journal.entries() if not known.is_settled(each.row.url))


def _new_images(journal: Journal) -> Iterator[Entry]:
    """The first entry of each content that no shard holds yet."""
    seen: set[bytes] = set()
    for entry in _new_entries(journal):
        digest = bytes.fromhex(entry.row.sha256)
        if digest and digest not in seen and not journal.known.has_content(entry.row.sha256):
            seen.add(digest)
            yield entry


def _rows(journal: Journal) -> Iterator[ManifestEntry]:
    """The old rows, with those that failed replaced by what came of another try; then the new."""
    known = journal.known
    for row in known.dataset.entries() if known.dataset else ():
        again = journal.row_of(row.url) if row.status == "failed" else None
        yield again or row
    for entry in _new_entries(journal):
        if not known.has_entry(entry.row.url):
            yield entry.row


def _write_manifest(path: Path, rows: Iterator[ManifestEntry]) -> dict[str, int]:
    """Write all rows; how many have which status, every status named, in a fixed order."""
    counts: Counter[str] = Counter()
    with open_atomically(path) as stream:
        for row in rows:
            counts[row.status] += 1
            stream.write(f"{row.to_json()}\n".encode())
    return {status: counts[status] for status in STATUSES}


def _write_shard(path: Path, journal: Journal, images: list[Entry]) -> None:
    damaged: list[Entry] = []
    with (
        open_atomically(path) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for entry in images:
            try:
                tar.addfile(_header(entry), io.BytesIO(journal.read(entry)))
            except ValueError:
                damaged.append(entry)
    for entry in damaged:
        lost = replace(entry.row, status="failed", reason="damaged on this disk", sha256="")
        journal.add(entry.position, replace(lost, bytes=0, format="", width=0, height=0))
    if damaged:
        raise GanError(
            f"{journal.folder}: pictures that the disk gave back damaged: {len(damaged)}; "
            "run the same command again to fetch them anew"
        )


def _header(entry: Entry) -> tarfile.TarInfo:
    """A tar header that depends on the image alone: no time, owner or name of one."""
    info = tarfile.TarInfo(f"{entry.row.sha256}.{EXTENSIONS[entry.row.format]}")
    info.size, info.mtime, info.mode = entry.row.bytes, 0, 0o644
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
