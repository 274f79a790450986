"""The md5 by which DVC knows a folder, computed as DVC does."""

import hashlib
import json
from pathlib import Path


def directory_md5(folder: Path) -> str:
    """The md5 of a folder's content, with DVC's '.dir' ending.

    DVC hashes the JSON list of every file's md5 and relative path, sorted by path.
    """
    files = sorted(
        (path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file()
    )
    listing = [{"md5": _md5(path), "relpath": name} for name, path in files]
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
