"""Atomic writes: a file is complete or absent, also after a kill or a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gan.errors import GanError


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose content replaces `path` when the block ends without an error.

    Creates missing parent folders. Raises GanError if the file can't be written; the old file
    stays then, and also when the block raises.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise GanError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content`, text as UTF-8; GanError if it can't be written."""
    with open_atomically(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk (fsync), which makes a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
