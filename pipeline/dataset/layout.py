"""Names, numbers and digests of the dataset format, shared by its reader and its writer."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
DESCRIPTION = "snapshot.json"
MANIFEST = "manifest.jsonl"
IMAGES_A_SHARD = 4096
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
"""Pillow's name of each format that is kept, and the file name's ending for it."""


@dataclass(frozen=True)
class FileMark:
    """Size and sha256 of one file, by which a damaged one is known."""

    bytes: int
    sha256: str


def shard_name(index: int) -> str:
    return f"images-{index:05d}.tar"


def mark_file(path: Path) -> FileMark:
    """Read a file once for its mark."""
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileMark(path.stat().st_size, sha256)


def digest_files(marks: dict[str, FileMark]) -> str:
    """The dataset's digest: sha256 over names and hashes of manifest and shards."""
    lines = (f"{marks[name].sha256}  {name}\n" for name in sorted(marks))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
