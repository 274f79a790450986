"""Walk of the files of a folder, tar, zip, parquet or npz: nothing is unpacked to disk."""

import errno
import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Self

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.crawl.archive.packed_sets import UnfitError, read_arrays, read_parquet
from pipeline.crawl.image_check import describe_excess
from pipeline.dataset.manifest import Status
from pipeline.pictures.formats import FORMATS, HEAD, identify

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIP_ENDINGS = (".zip",)
PART = re.compile(r"(?i)(.*\.(?:zip|7z|rar|tar(?:\.\w+)?)\.)\d{2,3}|.*\.z\d\d|.*\.part\d+\.rar")
"""Names of the parts of a split archive; of most kinds with the part before the number."""

PACKED = dict.fromkeys(("7z", "RAR", "Zstandard"), "unpack it and give the folder")
"""Kinds of archives that are not opened, each with what to do."""
SETS = {"HDF5": "write its pictures into a folder as PNG files, and give that"}
"""Kinds of files that hold a data set in a form that is not read."""
SET_ENDINGS = (".parquet", ".npz", ".npy")
"""Endings of those that are read."""
LARGEST_GROUP = 2**31

EXEMPT_BYTES = 2**20
"""A smaller file is no bomb, however well it is compressed."""
LARGEST_HEADER = 2**20
STEP = 4096
"""Bytes read at once: bzip2 and LZMA unpack a whole step, which may be a bomb."""

Refusal = tuple[Status, str]
"""Status and reason of a file that brings no picture; reasons name no path."""

SPECIAL: Refusal = ("blocked", "a link or special file")
LINKED_FOLDER: Refusal = ("blocked", "a link to a folder")
DAMAGED: Refusal = ("bad", "damaged in its archive")
DAMAGED_ARCHIVE: Refusal = ("bad", "a damaged archive")
_FOLDER: Refusal = ("blocked", "a folder")


class UnreadableError(Exception):
    """A file that can't be read; its arguments are status and reason of its manifest entry."""


class DamagedArchiveError(GanError):
    """A torn or damaged archive; in a folder with others only its own pictures are lost."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file: its name with forward slashes, its size, and the refusal to read it, if any."""

    name: str
    size: int
    refusal: Refusal | None
    open: Callable[[], IO[bytes]]

    def read_head(self) -> bytes:
        """The first bytes, enough for `identify`; none where it is refused or damaged."""
        if self.refusal:
            return b""
        try:
            with self.open() as stream:
                return stream.read(HEAD)
        except Exception:  # as in `read`
            return b""

    def read(self, most: int) -> bytes:
        """The whole content; UnreadableError where it is refused or has over `most` bytes.

        Call it before the walk takes its next step.
        """
        if self.refusal or self.size > most:
            raise UnreadableError(*(self.refusal or ("too_large", describe_excess(most))))
        data = bytearray()
        try:
            with self.open() as stream:
                while len(data) <= most and (part := stream.read(STEP)):
                    data += part
        except NotImplementedError:
            raise UnreadableError("bad", "compressed in a way that is not read here") from None
        except Exception as error:
            raise UnreadableError(*_explain(error)) from None
        if len(data) < self.size:
            raise UnreadableError(*DAMAGED)
        if len(data) > most:  # a file that grew
            raise UnreadableError("too_large", describe_excess(most))
        return bytes(data)


def walk_files(path: Path, limits: ScrapeParams) -> Iterator[ArchiveFile]:
    """The files in `path`: a folder (with all below, tars and zips included), a tar or a zip.

    Raises GanError where it is none of them, damaged, or over a cap of `limits`. A damaged archive
    in a folder is itself a file of the walk, after its own files, which must not be used.
    """
    walk = _Walk(path, limits)
    if path.is_dir():
        yield from walk.walk_folder()
    elif path.is_file():
        yield from walk.walk_archive(path)
    else:
        problem = "a special file" if path.exists() else "no such file or folder"
        raise GanError(f"{path}: {problem}")


class _Walk:
    """One walk, with its tally of files and unpacked bytes, nested archives included."""

    def __init__(self, path: Path, limits: ScrapeParams) -> None:
        self._path, self._limits = path, limits
        self._entries = self._bytes = 0

    def walk_folder(self) -> Iterator[ArchiveFile]:
        start = len(os.path.join(self._path, ""))
        for folder, below, names in os.walk(self._path, onerror=_refuse_folder):
            below.sort()
            for name in sorted(names + below):
                path = os.path.join(folder, name)
                yield from self._walk_entry(path, path[start:])

    def walk_archive(self, path: Path) -> Iterator[ArchiveFile]:
        members = _read_archive(path, self._limits.archive_ratio)
        while (file := _next(members, path)) is not None:
            self._count(file.size)
            if file.refusal is not _FOLDER:
                yield file

    def _walk_entry(self, path: str, name: str) -> Iterator[ArchiveFile]:
        try:
            state = os.lstat(path)
            is_link = stat.S_ISLNK(state.st_mode)
            if is_link and os.path.isfile(path):  # as in the cache of Hugging Face
                state = os.stat(path)
        except FileNotFoundError:  # gallery-dl renames its files
            return
        regular = stat.S_ISREG(state.st_mode)
        if regular and name.lower().endswith(TAR_ENDINGS + ZIP_ENDINGS + SET_ENDINGS):
            yield from self._walk_nested(path, name, state.st_size)
            return
        self._count(state.st_size if regular else 0)
        if not stat.S_ISDIR(state.st_mode):
            refusal = None if regular else LINKED_FOLDER if os.path.isdir(path) else SPECIAL
            opened = partial(_open_regular, path, follow=is_link)
            yield ArchiveFile(name, state.st_size, refusal, opened)

    def _walk_nested(self, path: str, name: str, size: int) -> Iterator[ArchiveFile]:
        """An archive's files; where it turns out to be damaged, the archive comes last."""
        try:
            for file in self.walk_archive(Path(path)):
                yield replace(file, name=f"{name}/{file.name}")
        except UnfitError:
            yield ArchiveFile(name, size, None, partial(_open_regular, path))
        except DamagedArchiveError:
            yield ArchiveFile(name, size, DAMAGED_ARCHIVE, partial(_open_regular, path))

    def _count(self, size: int) -> None:
        """Count a file of `size` bytes; GanError where that is over a cap."""
        self._entries += 1
        self._bytes += size
        for what, parameter, count in (
            ("entries", "archive_members", self._entries),
            ("bytes unpacked", "archive_bytes", self._bytes),
        ):
            limit = getattr(self._limits, parameter)
            if count > limit:
                raise GanError(
                    f"{self._path}: over {limit} {what}; if you trust it, raise "
                    f"scrape.{parameter} in params.yaml"
                )


def _refuse_folder(error: OSError) -> None:
    raise GanError(f"{error.filename}: cannot be listed: {error.strerror}")


def _open_regular(path: str, follow: bool = False) -> IO[bytes]:
    """Open a file; a pipe or link that took its place must neither hang nor lead elsewhere."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    stream = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.ELOOP, "no regular file")
    return stream


def _next(members: Iterator[ArchiveFile], path: Path) -> ArchiveFile | None:
    try:
        return next(members, None)
    except GanError:
        raise
    # Crafted headers make both modules raise nearly anything; all of it means the same here.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise GanError(f"{path}: cannot be read: {os.strerror(error.errno)}") from None
        text = " ".join(str(error).split()) or type(error).__name__
        text = text.partition(": - method ")[0]  # the errors of each compression follow
        raise DamagedArchiveError(
            f"{path}: no folder, tar, zip, parquet or npz, or damaged: {text}"
        ) from None


def _read_archive(path: Path, ratio: float) -> Iterator[ArchiveFile]:
    with path.open("rb") as stream:
        kind = identify(stream.read(HEAD))
    if part := PART.fullmatch(path.name):
        whole = (part[1] or "").rstrip(".") or f"{path.stem}.zip"
        raise GanError(f"{path}: a part; join them, such as by: cat {whole}.* > {whole}")
    if kind in FORMATS:
        raise UnfitError(f"{path}: a single picture ({kind}); give the folder that it lies in")
    for kinds in (PACKED, SETS):
        if kind in kinds:
            raise UnfitError(f"{path}: {kind}, which is not opened here; {kinds[kind]}")
    if kind == "parquet":
        yield from _read_set(read_parquet(path, LARGEST_GROUP))
        return
    if kind == "NumPy" or path.name.lower().endswith(".npz"):
        yield from _read_set(read_arrays(path, ratio))
        return
    # By name first: a tar that ends with a zip inside also looks like one.
    is_zip = not path.name.lower().endswith(TAR_ENDINGS) and zipfile.is_zipfile(path)
    yield from (_read_zip if is_zip else _read_tar)(path, ratio)


def _read_set(pictures: Iterator[tuple[str, bytes]]) -> Iterator[ArchiveFile]:
    for name, data in pictures:
        yield ArchiveFile(name, len(data), _refuse_name(name), partial(io.BytesIO, data))


def _read_zip(path: Path, ratio: float) -> Iterator[ArchiveFile]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            refusal = _refuse_packed(info, ratio)
            opened = partial(archive.open, info)
            yield ArchiveFile(info.filename, info.file_size, refusal, opened)


def _refuse_packed(info: zipfile.ZipInfo, ratio: float) -> Refusal | None:
    if info.is_dir():
        return _FOLDER
    if info.flag_bits & 1:
        return "blocked", "encrypted"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return SPECIAL
    if _is_bomb(info.file_size, info.compress_size, ratio):
        found = round(info.file_size / max(info.compress_size, 1))
        return "too_large", f"compressed 1:{found}, over {ratio:g}"
    return _refuse_name(info.filename)


class _Header(tarfile.TarInfo):
    """Refuses a header that makes the tarfile module read much into memory, or go backwards."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _EXTENSIONS and header.size > LARGEST_HEADER):
            raise tarfile.ReadError("impossible header")
        return header


_EXTENSIONS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


def _read_tar(path: Path, ratio: float) -> Iterator[ArchiveFile]:
    packed, unpacked = path.stat().st_size, 0
    with tarfile.open(path, "r:*", tarinfo=_Header) as tar:
        while (info := tar.next()) is not None:
            # Else the module keeps every header that it has read, 1 kB each.
            tar.members.clear()  # type: ignore[attr-defined]
            if info.size < 0 or tar.offset <= info.offset:
                raise tarfile.ReadError("impossible header")
            unpacked += info.size
            if _is_bomb(unpacked, packed, ratio):
                raise GanError(
                    f"{path}: unpacks to over {ratio:g} times its size; if you trust it, raise "
                    f"scrape.archive_ratio in params.yaml"
                )
            refusal = _refuse_name(info.name) if info.isreg() else SPECIAL
            opened = partial(tarfile.ExFileObject, tar, info)
            yield ArchiveFile(info.name, info.size, _FOLDER if info.isdir() else refusal, opened)
        _check_end(tar)


def _check_end(tar: tarfile.TarFile) -> None:
    """Raise at an unreadable header or a cut-off file, where the module ends in silence."""
    stream = tar.fileobj
    if stream is not None:
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end mark where its members end")
        # A compressed file's checksum is compared when its end is read.
        stream.read(tarfile.RECORDSIZE)


def _is_bomb(size: int, packed: int, ratio: float) -> bool:
    """True where `packed` bytes unpack to more than `ratio` times as many."""
    return size >= EXEMPT_BYTES and size > ratio * packed


def _refuse_name(name: str) -> Refusal | None:
    """Refuse a name that could point outside the archive: absolute, a drive, or with `..`."""
    if re.match(r"[/\\]|[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        return "blocked", "unsafe name"
    return None


def _explain(error: Exception) -> Refusal:
    """The refusal for a failed read: an error of the system may pass, damage stays."""
    if isinstance(error, OSError) and error.errno is not None:
        # A link or pipe that took the file's place since it was listed.
        if error.errno == errno.ELOOP:
            return SPECIAL
        return "failed", f"cannot be read: {os.strerror(error.errno)}"
    return DAMAGED
