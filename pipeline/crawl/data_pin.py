"""data.dvc, which pins data/: reading it, bringing its data/ back, pinning a new one."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.console import say
from pipeline.paths import Paths

COMMIT = "commit it with source.yaml, reports/data_card.md and reports/data_card.json"

SKELETON = """\
deps:
- path: data.ok
- path: source.yaml
outs:
- path: data
"""
"""data.dvc before anything is pinned. Never fewer than two deps: with one dep and one out DVC
takes it for an import, and `dvc repro` overwrites data/ with a copy of the dep."""


@dataclass(frozen=True)
class DataPin:
    """data.dvc of one checkout, which need not be a DVC repository."""

    paths: Paths

    @property
    def in_dvc(self) -> bool:
        return (self.paths.root / ".dvc").is_dir()

    @property
    def md5(self) -> str:
        """The directory md5 that data.dvc pins, like 'ab12….dir'; empty where it pins nothing.

        Raises GanError where data.dvc can't be read.
        """
        try:
            return str(self._read()["outs"][0].get("md5", ""))
        except FileNotFoundError:
            return ""
        except (yaml.YAMLError, ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise GanError(f"{self.paths.pin}: not a .dvc file; `git checkout` it") from None

    def _read(self) -> Any:
        return yaml.safe_load(self.paths.pin.read_text(encoding="utf-8"))

    def restore(self) -> bool:
        """Check the pinned data/ out of DVC's cache, else pull it; False where neither has it."""
        if not (self.in_dvc and self.md5):
            return False
        if self._dvc("checkout", "data.dvc").returncode == 0:
            return True
        has_remote = self._dvc("remote", "list").stdout.strip()
        return bool(has_remote) and self._dvc("pull", "data.dvc").returncode == 0

    def renew(self) -> None:
        """Pin data/ as it is now, and say what to commit; nothing where there is no DVC.

        By `dvc commit`, which also fills DVC's cache: `dvc add` would leave the md5s of the deps
        as they were. Raises GanError with DVC's last line.
        """
        if not self.in_dvc:
            return
        before = self.md5
        if not self.paths.pin.exists() or "deps" not in self._read():
            write_atomically(self.paths.pin, SKELETON)
        done = self._dvc("commit", "--force", "data.dvc")
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
            raise GanError(f"`dvc commit data.dvc` failed: {lines[-1]}")
        if before != self.md5:
            say(f"data.dvc: {before or 'nothing'} -> {self.md5}; {COMMIT}")

    def holds(self, md5: str) -> bool:
        """True where DVC's cache has every file of the folder with this directory md5."""
        if not self.in_dvc:
            return False
        cache = self.paths.root / self._dvc("cache", "dir").stdout.strip() / "files" / "md5"

        def locate(each: str) -> Path:
            return cache / each[:2] / each[2:]

        try:
            files = json.loads(locate(md5).read_bytes())
            return all(locate(each["md5"]).is_file() for each in files)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _dvc(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(
            command, cwd=self.paths.root, capture_output=True, text=True, check=False
        )
