"""DVC's cache, read without checking anything out."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from pipeline.runs.other_checkout import clean_environment


@dataclass(frozen=True)
class DvcCache:
    """The DVC cache of the repository at `root`."""

    root: Path

    @cached_property
    def folder(self) -> Path | None:
        """Its folder; None outside of DVC."""
        if not (self.root / ".dvc").is_dir():
            return None
        done = subprocess.run(
            [sys.executable, "-m", "dvc", "cache", "dir"],
            cwd=self.root,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return (self.root / done.stdout.strip()).resolve() if done.returncode == 0 else None

    def object(self, md5: str) -> Path | None:
        """The file of an md5, such as ab12… or ab12….dir; None if the cache lacks it."""
        if self.folder is None or len(md5) < 32:
            return None
        file = self.folder / "files" / "md5" / md5[:2] / md5[2:]
        return file if file.is_file() else None

    def listing(self, md5: str) -> dict[str, str]:
        """md5s of the files in a folder of this md5, by path; {} if the cache lacks it."""
        file = self.object(md5)
        try:
            entries = json.loads(file.read_bytes()) if file else []
            return {entry["relpath"]: entry["md5"] for entry in entries}
        except (ValueError, KeyError, TypeError):
            return {}

    def holds(self, md5: str) -> bool:
        """Whether the cache has all of a folder of this md5."""
        files = self.listing(md5)
        return bool(files) and all(self.object(each) for each in files.values())


def read_pinned_md5(pin: str | None) -> str:
    """md5 in the text of a data.dvc; empty if it pins nothing."""
    try:
        return str(yaml.safe_load(pin or "")["outs"][0].get("md5", ""))
    except (yaml.YAMLError, KeyError, IndexError, TypeError, AttributeError):
        return ""


def read_locked_outs(lock: str | None, stage: str) -> dict[str, str]:
    """md5s of a stage's outs in the text of a dvc.lock, by path; {} if it has none."""
    try:
        outs: list[dict[str, Any]] = yaml.safe_load(lock or "")["stages"][stage]["outs"]
        return {str(out["path"]): str(out["md5"]) for out in outs}
    except (yaml.YAMLError, KeyError, TypeError):
        return {}
