"""Names, numbers and digests of the dataset format, shared by its reader and its writer."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.paths import sha256_of

FORMAT = 1
DESCRIPTION = "snapshot.json"
"""The file that describes a dataset; written last, so that its presence says: complete."""
MANIFEST = "manifest.jsonl"
IMAGES_A_SHARD = 4096
REPAIR = "run `gan scrape --ensure`, or `dvc checkout data.dvc`"
"""Advice for a damaged or absent dataset."""


@dataclass(frozen=True)
class FileChecksum:
    """Size and sha256 of one file, to find a damaged one by."""

    bytes: int
    sha256: str


def checksum_file(path: Path) -> FileChecksum:
    """Read a file once, for its size and sha256."""
    return FileChecksum(path.stat().st_size, sha256_of(path))


def digest_files(checksums: dict[str, FileChecksum]) -> str:
    """The dataset's digest: sha256 over names and hashes of manifest and shards."""
    lines = (f"{checksums[name].sha256}  {name}\n" for name in sorted(checksums))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
