"""Packing of a crawl journal into a dataset, which then takes the place of the old one.

Where a crawl adds to an earlier one, the earlier shards stay as they are, byte for byte, and new
ones follow; the manifest keeps the earlier entries and their order.
"""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from gan.atomic import open_atomically, sync_folder, write_atomically
from gan.errors import GanError
from pipeline.crawl.storage.journal import JOURNAL, Journal, JournalRecord
from pipeline.dataset.layout import (
    DESCRIPTION,
    FORMAT,
    IMAGES_A_SHARD,
    MANIFEST,
    checksum_file,
    digest_files,
)
from pipeline.dataset.manifest import STATUSES, ManifestEntry
from pipeline.dataset.reader import Dataset
from pipeline.pictures.formats import FORMATS

PACKED = "packed"

Describe = Callable[[dict[str, int]], dict[str, Any]]
"""The content of source.yaml for a dataset with these counts of entries by status, none of 0."""


def publish(journal: Journal, describe: Describe, target: Path, keep_old: Path) -> Dataset:
    """Pack the earlier crawl and the journal, in source order, into a dataset at `target`.

    An old dataset stays at `target` until the new one is complete on disk, and is at `keep_old`
    afterwards; `recover` undoes a kill between the two renames. The journal stays: the caller
    discards it when all else is done. Raises GanError where there is no image to pack, or where
    the disk returns damaged ones, which count as failed.
    """
    packed = journal.folder / PACKED
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir()
    _pack(journal, describe, packed)
    if target.exists():
        shutil.rmtree(keep_old, ignore_errors=True)
        target.rename(keep_old)
    packed.rename(target)
    sync_folder(target.parent)
    return Dataset.open(target)


def has_news(journal: Journal) -> bool:
    """True where the journal has more than the earlier crawl that it adds to."""
    return any(
        record.entry.status != "failed" or not journal.earlier.has_entry(record.entry.url)
        for record in _new_records(journal)
    )


def recover(target: Path, keep_old: Path) -> None:
    """Put the old dataset back after a kill between the two renames of `publish`."""
    if keep_old.exists() and not target.exists():
        keep_old.rename(target)


def discard(folder: Path) -> None:
    """Remove an unfinished crawl; its journal first, so that a half removed one is none."""
    (folder / JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _pack(journal: Journal, describe: Describe, folder: Path) -> None:
    shards = _link_shards(journal.earlier.dataset, folder)
    new_images = _new_images(journal)
    while images := list(islice(new_images, IMAGES_A_SHARD)):
        _write_shard(folder / f"images-{shards:05d}.tar", journal, images)
        shards += 1
    if not shards:
        raise GanError(f"{journal.folder}: not one image to keep among {len(journal)} addresses")
    counts = dict.fromkeys(STATUSES, 0)
    with open_atomically(folder / MANIFEST) as stream:
        for entry in _merge_entries(journal):
            counts[entry.status] += 1
            stream.write(f"{entry.to_json()}\n".encode())
    # Last: its presence says that everything before it is complete.
    files = {path.name: checksum_file(path) for path in sorted(folder.iterdir())}
    description = {
        "format": FORMAT,
        "source": describe({status: count for status, count in counts.items() if count}),
        "counts": counts,
        "files": {name: asdict(checksum) for name, checksum in files.items()},
        "digest": digest_files(files),
    }
    write_atomically(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def _link_shards(earlier: Dataset | None, folder: Path) -> int:
    """Link the earlier crawl's shards into `folder`; returns how many there are."""
    if earlier is None:
        return 0
    for name in earlier.shards:
        try:
            os.link(os.path.realpath(earlier.folder / name), folder / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(earlier.folder / name, folder / name)
    return len(earlier.shards)


def _new_records(journal: Journal) -> Iterator[JournalRecord]:
    earlier = journal.earlier
    return (each for each in journal.records() if not earlier.is_settled(each.entry.url))


def _new_images(journal: Journal) -> Iterator[JournalRecord]:
    """The first record of each content that no shard has yet."""
    seen: set[bytes] = set()
    for record in _new_records(journal):
        sha256 = record.entry.sha256
        digest = bytes.fromhex(sha256)
        if digest and digest not in seen and not journal.earlier.has_content(sha256):
            seen.add(digest)
            yield record


def _merge_entries(journal: Journal) -> Iterator[ManifestEntry]:
    """The earlier entries, some replaced by the outcome of another try; then new ones."""
    earlier = journal.earlier
    for entry in earlier.dataset.entries() if earlier.dataset else ():
        retried = None if earlier.is_settled(entry.url) else journal.entry_of(entry.url)
        yield retried or entry
    for record in _new_records(journal):
        if not earlier.has_entry(record.entry.url):
            yield record.entry


def _write_shard(path: Path, journal: Journal, images: list[JournalRecord]) -> None:
    damaged: list[JournalRecord] = []
    with (
        open_atomically(path) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for record in images:
            # A header that depends on the image alone: no time, owner or original file name.
            extension = FORMATS[record.entry.format]
            header = tarfile.TarInfo(f"{record.entry.sha256}.{extension}")
            header.size = record.entry.bytes
            try:
                tar.addfile(header, io.BytesIO(journal.read_image(record)))
            except ValueError:
                damaged.append(record)
    for record in damaged:
        lost = replace(record.entry, status="failed", reason="damaged on this disk", sha256="")
        journal.add(record.position, replace(lost, bytes=0, format="", width=0, height=0))
    if damaged:
        raise GanError(
            f"{journal.folder}: the disk returned {len(damaged)} damaged pictures; "
            "run the same command again to fetch them anew"
        )
