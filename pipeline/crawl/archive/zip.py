"""Walk of a zip by its directory; nothing is unpacked to disk."""

import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from gan.errors import GanError
from pipeline.crawl.archive.archive_file import (
    DAMAGED,
    SPECIAL,
    ArchiveBudget,
    ArchiveFile,
    Refusal,
    UnreadableError,
    check_name,
    explain,
    explain_archive,
    is_bomb,
)

STEP = 4096
"""Bytes read at once: bzip2 and LZMA unpack a whole step, which may be a bomb."""


def walk_zip(path: Path, budget: ArchiveBudget) -> Iterator[ArchiveFile]:
    """The files in a zip, in its order; GanError where it is none or damaged."""
    with _open(path, budget) as archive:
        for info in archive.infolist():
            budget.add(info.file_size)
            if not info.is_dir():
                refusal = _refuse(info, budget.limits.archive_ratio)
                yield ArchiveFile(info.filename, info.file_size, refusal, _reader(archive, info))


class _Directory(list[zipfile.ZipInfo]):
    """A list with a cap on its entries; GanError at the first one too many."""

    def __init__(self, budget: ArchiveBudget) -> None:
        super().__init__()
        self._budget = budget

    def append(self, info: zipfile.ZipInfo) -> None:
        self._budget.require_room(len(self) + 1)
        super().append(info)


class _Zip(zipfile.ZipFile):
    """A ZipFile that checks the caps while it reads its directory, when it is opened.

    The number of entries that a zip declares doesn't matter: zipfile goes by the directory.
    """

    def __init__(self, path: Path, budget: ArchiveBudget) -> None:
        self._directory = _Directory(budget)
        super().__init__(path)

    @property
    def filelist(self) -> list[zipfile.ZipInfo]:
        return self._directory

    @filelist.setter
    def filelist(self, empty: list[zipfile.ZipInfo]) -> None:
        """Ignored: the module assigns an empty list before it begins."""


def _open(path: Path, budget: ArchiveBudget) -> zipfile.ZipFile:
    try:
        return _Zip(path, budget)
    except GanError:
        raise
    # Crafted directories make zipfile raise nearly anything; all of it means the same here.
    except Exception as error:
        raise explain_archive(path, "zip", error) from None


def _refuse(info: zipfile.ZipInfo, ratio: float) -> Refusal | None:
    if info.flag_bits & 1:
        return "blocked", "encrypted"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return SPECIAL
    if refusal := check_name(info.filename):
        return refusal
    if is_bomb(info.file_size, info.compress_size, ratio):
        found = round(info.file_size / max(info.compress_size, 1))
        return "too_large", f"compressed 1:{found}, over {ratio:g}"
    return None


def _reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        data = bytearray()
        try:
            with archive.open(info) as stream:
                while len(data) <= most and (part := stream.read(STEP)):
                    data += part
        except NotImplementedError:
            raise UnreadableError(("bad", "compressed in a way that is not read here")) from None
        except Exception as error:
            raise UnreadableError(explain(error)) from None
        if len(data) < min(info.file_size, most + 1):
            raise UnreadableError(DAMAGED)
        return bytes(data[: most + 1])

    return read
