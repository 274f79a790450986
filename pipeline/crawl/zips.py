"""Walks a zip by its directory; nothing is ever unpacked to disk."""

import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from gan.errors import GanError
from pipeline.crawl.member import (
    DAMAGED,
    SPECIAL,
    Member,
    Refusal,
    Tally,
    UnreadableError,
    check_name,
    explain,
    is_bomb,
)

STEP = 4096
"""Bytes read at once: bzip2 and LZMA unpack a whole step, and a step may be a bomb."""


def zip_members(path: Path, tally: Tally) -> Iterator[Member]:
    """The files in a zip, in its order; GanError where it is none or damaged."""
    with _open(path) as archive:
        for info in archive.infolist():
            tally.add(info.file_size)
            if not info.is_dir():
                refusal = _refuse(info, tally.limits.archive_ratio)
                yield Member(info.filename, info.file_size, refusal, _reader(archive, info))


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    # Crafted directories make zipfile raise nearly anything; all of it means the same here.
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise GanError(f"{path}: not a zip, or damaged: {text}") from None


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
