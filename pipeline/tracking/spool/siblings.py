"""Spools of one row: a training opens another beside its own while `gan sync` sends that."""

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gan.atomic import write_atomically
from pipeline.tracking.spool.records import Record, files_of, record_of

ENDING = "-" + "[0-9a-f]" * 8


def new_name(folder: Path) -> Path:
    """A folder beside a spool's, which is recognised as its relative."""
    return folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")


def records_of_relatives(folder: Path) -> Iterator[Record]:
    """What the other spools of its row hold; they need not be free for that."""
    stem = re.sub(f"{ENDING}$", "", folder.name)
    for name in {stem, folder.name}:
        for pattern in (name, f"{name}{ENDING}"):
            for file in folder.parent.glob(f"{pattern}/records.jsonl"):
                if file.parent != folder:
                    with suppress(FileNotFoundError), file.open("rb") as stream:  # sent, removed
                        yield from map(record_of, stream)


def copy_prepared(folder: Path, aside: Path, name: str) -> None:
    """What waits in a spool for its checkpoint, with its files; nothing if there is nothing."""
    if not (folder / name).is_file():
        return
    lines = (folder / name).read_bytes()
    for record in map(record_of, lines.splitlines(keepends=True)):
        for file in files_of(record):
            if (folder / "files" / file).is_file():
                (aside / "files" / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / "files" / file, aside / "files" / file)
    write_atomically(aside / name, lines)
