"""Packs an unfinished snapshot into shards and puts it in the place of the old one."""

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.snapshot.durable import sync, sync_folder, write_text
from pipeline.snapshot.journal import Entry, Journal
from pipeline.snapshot.layout import (
    DESCRIPTION,
    EXTENSIONS,
    FORMAT,
    IMAGES_A_SHARD,
    MANIFEST,
    digest_files,
    mark_file,
    shard_name,
)
from pipeline.snapshot.manifest import count_by_status
from pipeline.snapshot.reader import Snapshot

PACKED = "packed"


def publish(journal: Journal, source: dict[str, Any], target: Path, keep_old: Path) -> Snapshot:
    """Pack the journal's rows, in source order, into a snapshot that then becomes `target`.

    An old snapshot stands at `target` until the new one is complete on disk, and at `keep_old`
    afterwards; `recover` mends a kill between the two renames. The journal stays: its owner
    discards it when all else is done. Raises GanError where no image is there to pack.
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
    return Snapshot.open(target)


def recover(target: Path, keep_old: Path) -> None:
    """Put the old snapshot back where a kill fell between `publish`'s two renames."""
    if keep_old.exists() and not target.exists():
        keep_old.rename(target)


def discard(folder: Path) -> None:
    """Remove an unfinished snapshot."""
    shutil.rmtree(folder, ignore_errors=True)


def _pack(journal: Journal, source: dict[str, Any], folder: Path) -> None:
    entries = journal.entries
    images = list({each.row.sha256: each for each in entries if each.row.status == "ok"}.values())
    if not images:
        raise GanError(f"{journal.folder}: not one image to keep among {len(entries)} addresses")
    for start in range(0, len(images), IMAGES_A_SHARD):
        path = folder / shard_name(start // IMAGES_A_SHARD)
        _write_shard(path, journal, images[start : start + IMAGES_A_SHARD])
    rows = [entry.row for entry in entries]
    write_text(folder / MANIFEST, "".join(f"{row.to_json()}\n" for row in rows))
    # Last: its presence says that everything before it is complete.
    files = {path.name: mark_file(path) for path in sorted(folder.iterdir())}
    description = {
        "format": FORMAT,
        "source": source,
        "counts": count_by_status(rows),
        "files": {name: asdict(mark) for name, mark in files.items()},
        "digest": digest_files(files),
    }
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def _write_shard(path: Path, journal: Journal, images: list[Entry]) -> None:
    with path.open("wb") as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for entry in images:
                data = journal.read(entry)
                if hashlib.sha256(data).hexdigest() != entry.row.sha256:
                    raise GanError(f"{journal.folder}: damaged; remove it and scrape again")
                tar.addfile(_header(entry), io.BytesIO(data))
        stream.flush()
        sync(stream.fileno())


def _header(entry: Entry) -> tarfile.TarInfo:
    """A tar header that depends on the image alone: no time, owner or name of one."""
    info = tarfile.TarInfo(f"{entry.row.sha256}.{EXTENSIONS[entry.row.format]}")
    info.size, info.mtime, info.mode = entry.row.bytes, 0, 0o644
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
