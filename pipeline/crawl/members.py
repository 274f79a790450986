"""Walks the files of a folder, tar or zip without unpacking them; nothing is ever written."""

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from gan.errors import GanError

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ZIP_ENDINGS = (".zip",)
SPECIAL = "a link or special file"


@dataclass(frozen=True)
class Member:
    """One file: its name with forward slashes, its size, and why it must not be read, if so.

    `read` holds only until the walk goes on; it gives b"" where the member itself is damaged.
    """

    name: str
    size: int
    problem: str
    read: Callable[[], bytes]


def members_of(path: Path) -> Iterator[Member]:
    """The files in `path`: a folder (with all below, tars and zips included), a tar or a zip.

    Raises GanError where it is none of them or damaged.
    """
    if path.is_dir():
        yield from _folder(path)
    elif not path.exists():
        raise GanError(f"{path}: no such file or folder")
    # By name first: a tar that ends with a zip inside also looks like one.
    elif not path.name.lower().endswith(TAR_ENDINGS) and zipfile.is_zipfile(path):
        yield from _zip(path)
    else:
        yield from _tar(path)


def _folder(top: Path) -> Iterator[Member]:
    for folder, folders, names in os.walk(top):
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            name = path.relative_to(top).as_posix()
            mode = path.lstat()
            if path.name.lower().endswith(TAR_ENDINGS + ZIP_ENDINGS) and stat.S_ISREG(
                mode.st_mode
            ):
                for member in members_of(path):
                    yield replace(member, name=f"{name}/{member.name}")
            else:
                problem = "" if stat.S_ISREG(mode.st_mode) else "a link or special file"
                yield Member(name, mode.st_size, problem, path.read_bytes)


def _tar(path: Path) -> Iterator[Member]:
    try:
        with tarfile.open(path, "r:*") as tar:
            for info in tar:
                if info.isdir():
                    continue
                problem = "" if info.isreg() else "a link or special file"
                yield Member(
                    info.name, info.size, problem or _unsafe(info.name), _tar_read(tar, info)
                )
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise GanError(f"{path}: no folder, tar or zip, or damaged: {error}") from None


def _tar_read(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            stream = tar.extractfile(info)
            return stream.read() if stream else b""
        except (tarfile.TarError, EOFError, OSError, zlib.error):
            return b""

    return read


def _zip(path: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    problem = _zip_problem(info) or _unsafe(info.filename)
                    yield Member(info.filename, info.file_size, problem, _zip_read(archive, info))
    except (zipfile.BadZipFile, OSError) as error:
        raise GanError(f"{path}: not a zip, or damaged: {error}") from None


def _zip_problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "encrypted"
    mode = info.external_attr >> 16
    return SPECIAL if stat.S_IFMT(mode) not in (0, stat.S_IFREG) else ""


def _zip_read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            return b""

    return read


def _unsafe(name: str) -> str:
    """Why a name could point outside the archive: absolute, a drive, or one with `..`."""
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.anchor or ".." in windows.parts:
        return "unsafe name"
    return ""
