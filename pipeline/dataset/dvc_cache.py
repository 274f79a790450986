"""DVC's cache and files, read without checking anything out."""

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
        command = [sys.executable, "-m", "dvc", "cache", "dir"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
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
