"""DVC as a program; its cache and files, read without checking anything out; its md5s."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class DvcCache:
    """The DVC cache of the repository at `root`."""

    root: Path

    @cached_property
    def folder(self) -> Path | None:
        """Its folder; None outside of DVC."""
        if not (self.root / ".dvc").is_dir():
            return None
        done = run_dvc(self.root, "cache", "dir")
        return (self.root / done.stdout.strip()).resolve() if done.returncode == 0 else None

    def read(self, md5: str) -> bytes | None:
        """Content of an md5, such as ab12... or ab12....dir; None if the cache lacks it."""
        file = self._place(md5)
        return file.read_bytes() if file and file.is_file() else None

    def list_files(self, md5: str) -> dict[str, str]:
        """md5s of the files in a folder of this md5, by path; {} unless the cache has all."""
        try:
            files = {each["relpath"]: each["md5"] for each in json.loads(self.read(md5) or "[]")}
        except (ValueError, KeyError, TypeError):
            return {}
        places = map(self._place, files.values())
        return files if all(place and place.is_file() for place in places) else {}

    def _place(self, md5: str) -> Path | None:
        if not self.folder or not MD5.fullmatch(md5):
            return None
        return self.folder / "files" / "md5" / md5[:2] / md5[2:]


def run_dvc(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of DVC in the repository at `root`."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def read_pinned_md5(pin: str | None) -> str:
    """md5 in the text of a data.dvc; empty if it pins nothing."""
    try:
        return str(yaml.safe_load(pin or "")["outs"][0].get("md5", ""))
    except (yaml.YAMLError, KeyError, IndexError, TypeError, AttributeError):
        return ""


def read_locked_outs(lock: str | None, stage: str) -> dict[str, str]:
    """md5s of a stage's outs in the text of a dvc.lock, by path; {} if it has none."""
    try:
        outs = yaml.safe_load(lock or "")["stages"][stage]["outs"]
        return {str(out["path"]): str(out["md5"]) for out in outs}
    except (yaml.YAMLError, KeyError, TypeError):
        return {}


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
