"""Opens a dataset, proves that it is whole, and reads its manifest and its images."""

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
    FileMark,
    digest_files,
    mark_file,
)
from pipeline.dataset.manifest import ManifestEntry
from pipeline.dataset.shards import ImageIndex

T = TypeVar("T")

HEAL = "run `gan scrape --ensure`, or `dvc checkout data.dvc`"


@dataclass(frozen=True)
class Dataset:
    """A complete dataset: its digest, what it is of, its files' marks, counts by status."""

    folder: Path
    digest: str
    source: dict[str, Any]
    counts: dict[str, int]
    files: dict[str, FileMark]

    @staticmethod
    def open(folder: Path) -> "Dataset":
        """Open `folder`; GanError if it is absent, incomplete or visibly damaged.

        Names and sizes are checked here, contents only by `verify`.
        """
        dataset = _parse(folder, _description(folder))
        for name, mark in dataset.files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != mark.bytes:
                raise GanError(f"{path}: missing or not {mark.bytes} bytes long; {HEAL}")
        return dataset

    @property
    def shards(self) -> dict[str, FileMark]:
        """The tar files by name, each with its mark."""
        return {name: mark for name, mark in self.files.items() if name != MANIFEST}

    @property
    def shard_paths(self) -> tuple[Path, ...]:
        """The tar files, in the order in which `index` numbers them."""
        return tuple(self.folder / name for name in sorted(self.shards))

    def entries(self) -> Iterator[ManifestEntry]:
        """The manifest row by row, in source order; GanError names a line that is none."""
        return (row for _, row in self.parse_entries(ManifestEntry.from_dict))

    def parse_entries(self, parse: Callable[[Any], T]) -> Iterator[tuple[int, T]]:
        """What `parse` makes of each row's JSON, and the place where `entries_at` finds the row.

        GanError names a line of which it makes a ValueError, KeyError or TypeError.
        """
        path, place = self.folder / MANIFEST, 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield place, parse(json.loads(line.decode()))
                except (ValueError, KeyError, TypeError) as error:
                    raise GanError(f"{path}:{number}: {error}; {HEAL}") from None
                place += len(line)

    def entries_at(self, places: Iterable[int]) -> Iterator[ManifestEntry]:
        """The rows at places that `parse_entries` gave."""
        with (self.folder / MANIFEST).open("rb") as stream:
            for place in places:
                stream.seek(place)
                yield ManifestEntry.from_json(stream.readline().decode())

    def verify(self) -> None:
        """Hash every file again; GanError names the one that differs or doesn't belong."""
        paths = [self.folder / name for name in self.files]
        with ThreadPoolExecutor() as threads:  # hashing leaves the interpreter's lock
            marks = list(threads.map(mark_file, paths))
        for (name, mark), found in zip(self.files.items(), marks, strict=True):
            if found != mark:
                raise GanError(f"{self.folder / name}: damaged, its sha256 differs; {HEAL}")
        known = {*self.files, DESCRIPTION}
        for path in sorted(self.folder.iterdir()):
            if path.name not in known:
                raise GanError(f"{path}: does not belong to the dataset; remove it")

    def index(self) -> ImageIndex:
        """Where each image is; GanError names a file that is no shard."""
        return ImageIndex.of(self.shard_paths)


def _description(folder: Path) -> Any:
    path = folder / DESCRIPTION
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise GanError(f"{folder}: no complete dataset here; {HEAL}") from None
    except (OSError, ValueError) as error:
        raise GanError(f"{path}: cannot be read: {error}; {HEAL}") from None


def _parse(folder: Path, values: Any) -> Dataset:
    path = folder / DESCRIPTION
    version = values.get("format") if isinstance(values, dict) else None
    if version != FORMAT:
        raise GanError(f"{path}: format {version!r}, this version reads {FORMAT}")
    try:
        files = {str(name): FileMark(**mark) for name, mark in values["files"].items()}
        digest, source, counts = values["digest"], values["source"], values["counts"]
    except (KeyError, TypeError, AttributeError) as error:
        raise GanError(f"{path}: not a dataset's description ({error}); {HEAL}") from None
    if digest != digest_files(files) or MANIFEST not in files:
        raise GanError(f"{path}: its digest doesn't fit its files; {HEAL}")
    return Dataset(folder, digest, source, counts, files)
