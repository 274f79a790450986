"""Files that are either whole or absent, also after a kill or a power cut."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` atomically: written beside it, synced, then renamed."""
    beside = path.with_name(f".{path.name}.partial")
    with beside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        sync(stream.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync(descriptor: int) -> None:
    """Bring an open file to the disk."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a rename is durable only after this."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
