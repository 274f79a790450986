"""Opens a snapshot, proves that it is whole, and finds the bytes of its images."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.snapshot.layout import (
    DESCRIPTION,
    FORMAT,
    MANIFEST,
    FileMark,
    digest_files,
    mark_file,
)
from pipeline.snapshot.manifest import Row

HEAL = "run `gan scrape --ensure`, or `dvc checkout data.dvc`"


@dataclass(frozen=True, slots=True)
class Location:
    """Where an image's bytes lie: `size` bytes at `offset` of a shard; goes to other processes."""

    shard: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Snapshot:
    """A complete snapshot: its digest, what it is of, its files' marks, counts by status."""

    folder: Path
    digest: str
    source: dict[str, Any]
    counts: dict[str, int]
    files: dict[str, FileMark]

    @staticmethod
    def open(folder: Path) -> "Snapshot":
        """Open `folder`; GanError if it is absent, incomplete or visibly damaged.

        Names and sizes are checked here, contents only by `verify`.
        """
        snapshot = _parse(folder, _description(folder))
        for name, mark in snapshot.files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != mark.bytes:
                raise GanError(f"{path}: missing or not {mark.bytes} bytes long; {HEAL}")
        return snapshot

    @property
    def shards(self) -> dict[str, FileMark]:
        """The tar files by name, each with its mark."""
        return {name: mark for name, mark in self.files.items() if name != MANIFEST}

    @cached_property
    def rows(self) -> list[Row]:
        """The manifest, in source order, all in memory."""
        return list(self.each_row())

    def each_row(self) -> Iterator[Row]:
        """The manifest row by row, in source order; GanError names a line that is none."""
        path = self.folder / MANIFEST
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield Row.from_json(line)
                except ValueError as error:
                    raise GanError(f"{path}:{number}: {error}; {HEAL}") from None

    def verify(self) -> None:
        """Hash every file again; GanError names the one that differs or doesn't belong."""
        for name, mark in self.files.items():
            if mark_file(self.folder / name) != mark:
                raise GanError(f"{self.folder / name}: damaged, its sha256 differs; {HEAL}")
        known = {*self.files, DESCRIPTION}
        for path in sorted(self.folder.iterdir()):
            if path.name not in known:
                raise GanError(f"{path}: does not belong to the snapshot; remove it")

    def locations(self) -> dict[str, Location]:
        """Where each image is, by sha256, in the order of the shards."""
        found: dict[str, Location] = {}
        for name in sorted(self.shards):
            found.update(_index(self.folder / name))
        return found

    def read(self, location: Location) -> bytes:
        """The original bytes of one image."""
        with location.shard.open("rb") as stream:
            stream.seek(location.offset)
            return stream.read(location.size)


def _description(folder: Path) -> Any:
    path = folder / DESCRIPTION
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise GanError(f"{folder}: no complete snapshot here; {HEAL}") from None
    except (OSError, ValueError) as error:
        raise GanError(f"{path}: cannot be read: {error}; {HEAL}") from None


def _parse(folder: Path, values: Any) -> Snapshot:
    path = folder / DESCRIPTION
    version = values.get("format") if isinstance(values, dict) else None
    if version != FORMAT:
        raise GanError(f"{path}: format {version!r}, this version reads {FORMAT}")
    try:
        files = {str(name): FileMark(**mark) for name, mark in values["files"].items()}
        digest, source, counts = values["digest"], values["source"], values["counts"]
    except (KeyError, TypeError, AttributeError) as error:
        raise GanError(f"{path}: not a snapshot's description ({error}); {HEAL}") from None
    if digest != digest_files(files) or MANIFEST not in files:
        raise GanError(f"{path}: its digest doesn't fit its files; {HEAL}")
    return Snapshot(folder, digest, source, counts, files)


def _index(shard: Path) -> dict[str, Location]:
    try:
        with tarfile.open(shard, "r:") as tar:
            return {
                Path(member.name).stem: Location(shard, member.offset_data, member.size)
                for member in tar
            }
    except tarfile.TarError as error:
        raise GanError(f"{shard}: not a tar shard: {error}; {HEAL}") from None
