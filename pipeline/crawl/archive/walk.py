"""Walks the files of a folder, tar or zip without unpacking them; nothing is ever written."""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.archive.member import (
    DAMAGED_ARCHIVE,
    SPECIAL,
    DamagedError,
    Member,
    Refusal,
    Tally,
    UnreadableError,
    explain,
)
from pipeline.crawl.archive.tar import tar_members
from pipeline.crawl.archive.zip import zip_members

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIP_ENDINGS = (".zip",)
LINKED_FOLDER: Refusal = ("blocked", "a link to a folder")
STRANGERS = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}


def members_of(path: Path, limits: ScrapeParams) -> Iterator[Member]:
    """The files in `path`: a folder (with all below, tars and zips included), a tar or a zip.

    Raises GanError where it is none of them, damaged, or over a cap of `limits`. A damaged archive
    in a folder is itself a member, behind its own files, which must not be believed.
    """
    tally = Tally(path, limits)
    if path.is_dir():
        yield from _folder(path, tally)
    elif path.is_file():
        yield from _packed(path, tally)
    else:
        raise GanError(
            f"{path}: {'a special file' if path.exists() else 'no such file or folder'}"
        )


def _packed(path: Path, tally: Tally) -> Iterator[Member]:
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise GanError(f"{path}: cannot be read: {error.strerror}") from None
    for magic, name in STRANGERS.items():
        if start.startswith(magic):
            raise GanError(f"{path}: {name} is not read here; unpack it and give the folder")
    # By name first: a tar that ends with a zip inside also looks like one.
    if not path.name.lower().endswith(TAR_ENDINGS) and zipfile.is_zipfile(path):
        yield from zip_members(path, tally)
    else:
        yield from tar_members(path, tally)


def _folder(top: Path, tally: Tally) -> Iterator[Member]:
    waiting = [(str(top), "")]
    while waiting:
        folder, prefix = waiting.pop()
        below = []
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                below.append((entry.path, f"{prefix}{entry.name}/"))
                tally.add(0)
            else:
                yield from _file(entry, prefix, tally)
        waiting += reversed(below)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise GanError(f"{folder}: cannot be listed: {error.strerror}") from None


def _file(entry: os.DirEntry[str], prefix: str, tally: Tally) -> Iterator[Member]:
    try:
        state = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    name, regular = prefix + entry.name, stat.S_ISREG(state.st_mode)
    if regular and name.lower().endswith(TAR_ENDINGS + ZIP_ENDINGS):
        yield from _inside(Path(entry.path), name, state.st_size, tally)
        return
    tally.add(state.st_size if regular else 0)
    refusal = None if regular else LINKED_FOLDER if os.path.isdir(entry.path) else SPECIAL
    yield Member(name, state.st_size, refusal, _reader(entry.path))


def _inside(path: Path, name: str, size: int, tally: Tally) -> Iterator[Member]:
    """An archive's files; where it turns out to be damaged, last of all a member for itself."""
    try:
        for member in _packed(path, tally):
            yield replace(member, name=f"{name}/{member.name}")
    except DamagedError:
        yield Member(name, size, DAMAGED_ARCHIVE, _reader(str(path)))


def _reader(path: str) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        try:
            # A pipe or link that took the file's place since it was listed must not hang or lead.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as stream:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode):
                    raise UnreadableError(SPECIAL)
                return stream.read(min(state.st_size, most) + 1)
        except OSError as error:
            raise UnreadableError(explain(error)) from None

    return read
