"""Walks a zip by its directory; nothing is ever unpacked to disk."""

import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from gan.errors import GanError
from pipeline.crawl.archive.member import (
    DAMAGED,
    SPECIAL,
    Member,
    Refusal,
    Tally,
    UnreadableError,
    check_name,
    explain,
    explain_archive,
    is_bomb,
)

STEP = 4096
"""Bytes read at once: bzip2 and LZMA unpack a whole step, and a step may be a bomb."""


def zip_members(path: Path, tally: Tally) -> Iterator[Member]:
    """The files in a zip, in its order; GanError where it is none or damaged."""
    with _open(path, tally) as archive:
        for info in archive.infolist():
            tally.add(info.file_size)
            if not info.is_dir():
                refusal = _refuse(info, tally.limits.archive_ratio)
                yield Member(info.filename, info.file_size, refusal, _reader(archive, info))


class _Directory(list[zipfile.ZipInfo]):
    """Holds no more entries than there is room for; GanError at the first one too many."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def append(self, info: zipfile.ZipInfo) -> None:
        self._tally.require_room(len(self) + 1)
        super().append(info)


class _Zip(zipfile.ZipFile):
    """Reads its whole directory when it is opened, but keeps the caps while it does.

    The number of entries that a zip declares isn't asked: zipfile itself goes by the directory.
    """

    def __init__(self, path: Path, tally: Tally) -> None:
        self._directory = _Directory(tally)
        super().__init__(path)

    @property
    def filelist(self) -> list[zipfile.ZipInfo]:
        return self._directory

    @filelist.setter
    def filelist(self, empty: list[zipfile.ZipInfo]) -> None:
        """The module puts an empty list there before it begins."""


def _open(path: Path, tally: Tally) -> zipfile.ZipFile:
    try:
        return _Zip(path, tally)
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
