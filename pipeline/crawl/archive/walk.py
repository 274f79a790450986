"""Walk of the files of a folder, tar or zip, without unpacking: nothing is written."""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.archive.archive_file import (
    DAMAGED_ARCHIVE,
    SPECIAL,
    ArchiveBudget,
    ArchiveFile,
    DamagedArchiveError,
    Refusal,
    UnreadableError,
    explain,
)
from pipeline.crawl.archive.tar import walk_tar
from pipeline.crawl.archive.zip import walk_zip

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIP_ENDINGS = (".zip",)
LINKED_FOLDER: Refusal = ("blocked", "a link to a folder")
UNSUPPORTED = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}


def walk_files(path: Path, limits: ScrapeParams) -> Iterator[ArchiveFile]:
    """The files in `path`: a folder (with all below, tars and zips included), a tar or a zip.

    Raises GanError where it is none of them, damaged, or over a cap of `limits`. A damaged archive
    in a folder is itself a file of the walk, after its own files, which must not be used.
    """
    budget = ArchiveBudget(path, limits)
    if path.is_dir():
        yield from _walk_folder(path, budget)
    elif path.is_file():
        yield from _walk_archive(path, budget)
    else:
        raise GanError(
            f"{path}: {'a special file' if path.exists() else 'no such file or folder'}"
        )


def _walk_archive(path: Path, budget: ArchiveBudget) -> Iterator[ArchiveFile]:
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise GanError(f"{path}: cannot be read: {error.strerror}") from None
    for magic, name in UNSUPPORTED.items():
        if start.startswith(magic):
            raise GanError(f"{path}: {name} is not supported; unpack it and give the folder")
    # By name first: a tar that ends with a zip inside also looks like one.
    if not path.name.lower().endswith(TAR_ENDINGS) and zipfile.is_zipfile(path):
        yield from walk_zip(path, budget)
    else:
        yield from walk_tar(path, budget)


def _walk_folder(top: Path, budget: ArchiveBudget) -> Iterator[ArchiveFile]:
    waiting = [(str(top), "")]
    while waiting:
        folder, prefix = waiting.pop()
        below = []
        for entry in _list_folder(folder):
            if entry.is_dir(follow_symlinks=False):
                below.append((entry.path, f"{prefix}{entry.name}/"))
                budget.add(0)
            else:
                yield from _walk_entry(entry, prefix, budget)
        waiting += reversed(below)


def _list_folder(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise GanError(f"{folder}: cannot be listed: {error.strerror}") from None


def _walk_entry(
    entry: os.DirEntry[str], prefix: str, budget: ArchiveBudget
) -> Iterator[ArchiveFile]:
    try:
        state = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    name, regular = prefix + entry.name, stat.S_ISREG(state.st_mode)
    if regular and name.lower().endswith(TAR_ENDINGS + ZIP_ENDINGS):
        yield from _walk_nested(Path(entry.path), name, state.st_size, budget)
        return
    budget.add(state.st_size if regular else 0)
    refusal = None if regular else LINKED_FOLDER if os.path.isdir(entry.path) else SPECIAL
    yield ArchiveFile(name, state.st_size, refusal, _reader(entry.path))


def _walk_nested(path: Path, name: str, size: int, budget: ArchiveBudget) -> Iterator[ArchiveFile]:
    """An archive's files; where it turns out to be damaged, the archive itself comes last."""
    try:
        for file in _walk_archive(path, budget):
            yield replace(file, name=f"{name}/{file.name}")
    except DamagedArchiveError:
        yield ArchiveFile(name, size, DAMAGED_ARCHIVE, _reader(str(path)))


def _reader(path: str) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        try:
            # A pipe or link that took the file's place since must neither hang nor lead elsewhere.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as stream:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode):
                    raise UnreadableError(SPECIAL)
                return stream.read(min(state.st_size, most) + 1)
        except OSError as error:
            raise UnreadableError(explain(error)) from None

    return read
