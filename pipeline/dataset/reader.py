"""Reading of a dataset: opening, verification, manifest entries, index of images."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gan.errors import GanError
from pipeline.dataset.layout import (
    DESCRIPTION,
    FORMAT,
    MANIFEST,
    REPAIR,
    FileChecksum,
    checksum_file,
    digest_files,
)
from pipeline.dataset.manifest import ManifestEntry
from pipeline.dataset.shards import ImageIndex

T = TypeVar("T")


@dataclass(frozen=True)
class Dataset:
    """A complete dataset: digest, source, counts by status, checksums of its files."""

    folder: Path
    digest: str
    source: dict[str, Any]
    counts: dict[str, int]
    files: dict[str, FileChecksum]

    @staticmethod
    def open(folder: Path) -> "Dataset":
        """Open `folder`; GanError if it is absent, incomplete or visibly damaged.

        Names and sizes are checked here, contents only by `verify`.
        """
        dataset = _read_description(folder)
        for name, checksum in dataset.files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != checksum.bytes:
                raise GanError(f"{path}: missing or not {checksum.bytes} bytes long; {REPAIR}")
        return dataset

    @property
    def shards(self) -> dict[str, FileChecksum]:
        """The tar files by name, each with its checksum."""
        return {name: file for name, file in self.files.items() if name != MANIFEST}

    @property
    def shard_paths(self) -> tuple[Path, ...]:
        """The tar files, in the order in which `index` numbers them."""
        return tuple(self.folder / name for name in sorted(self.shards))

    def entries(self) -> Iterator[ManifestEntry]:
        """Entries of the manifest in source order; GanError names a line that is none."""
        return (entry for _, entry in self.parse_entries(ManifestEntry.from_dict))

    def parse_entries(self, parse: Callable[[Any], T]) -> Iterator[tuple[int, T]]:
        """Offset of each line of the manifest, for `entries_at`, and `parse` of its JSON value.

        GanError names a line for which `parse` raises ValueError, KeyError or TypeError.
        """
        path, offset = self.folder / MANIFEST, 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield offset, parse(json.loads(line.decode()))
                except (ValueError, KeyError, TypeError) as error:
                    raise GanError(f"{path}:{number}: {error}; {REPAIR}") from None
                offset += len(line)

    def entries_at(self, offsets: Iterable[int]) -> Iterator[ManifestEntry]:
        """The entries at these offsets of the manifest."""
        with (self.folder / MANIFEST).open("rb") as stream:
            for offset in offsets:
                stream.seek(offset)
                yield ManifestEntry.from_dict(json.loads(stream.readline()))

    def verify(self) -> None:
        """Hash every file again; GanError names the one that differs or doesn't belong."""
        paths = [self.folder / name for name in self.files]
        with ThreadPoolExecutor() as threads:  # hashing leaves the interpreter's lock
            checksums = list(threads.map(checksum_file, paths))
        for (name, expected), found in zip(self.files.items(), checksums, strict=True):
            if found != expected:
                raise GanError(f"{self.folder / name}: damaged, its sha256 differs; {REPAIR}")
        expected_names = {*self.files, DESCRIPTION}
        for path in sorted(self.folder.iterdir()):
            if path.name not in expected_names:
                raise GanError(f"{path}: does not belong to the dataset; remove it")

    def index(self) -> ImageIndex:
        """The place of each image; GanError names a file that is no shard."""
        return ImageIndex.read(self.shard_paths)


def _read_description(folder: Path) -> Dataset:
    path = folder / DESCRIPTION
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["format"]
        if version != FORMAT:
            raise GanError(f"{path}: format {version!r}, this version reads {FORMAT}")
        files = {str(name): FileChecksum(**file) for name, file in values["files"].items()}
        dataset = Dataset(folder, values["digest"], values["source"], values["counts"], files)
    except (FileNotFoundError, NotADirectoryError):
        raise GanError(f"{folder}: no complete dataset there; {REPAIR}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GanError(f"{path}: not a dataset's description ({error}); {REPAIR}") from None
    if dataset.digest != digest_files(files) or MANIFEST not in files:
        raise GanError(f"{path}: its digest doesn't fit its files; {REPAIR}")
    return dataset
