"""Folder in which a run is reproduced: its checkout, its data, and its progress."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.console import say
from pipeline.runs.lineage.git_history import apply_patch
from pipeline.runs.other_checkout import call, clean_environment
from pipeline.signals import TERMINATED, interrupting

MARKER = Path(".git/gan-reproduce.json")
USER_FOLDERS = ("weights", "pretrained", "faces")
"""Folders whose files the user provides, and Git mostly ignores."""


@dataclass(frozen=True)
class ReproductionFolder:
    """The folder. identity: run key and commit of the run that is reproduced there."""

    folder: Path
    identity: dict[str, str]

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Create the folder, or resume in it, and keep other processes out; GanError if it is of
        another run or in use."""
        marker = self.folder / MARKER
        if marker.is_file():
            if self._read_marker()["identity"] != self.identity:
                raise GanError(
                    f"{self.folder}: another run is reproduced there; give a new folder"
                )
            say(f"{self.folder}: resuming")
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise GanError(f"{self.folder}: exists already; --to takes a new or empty folder")
        try:
            marker.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(marker.with_suffix(".lock"), timeout=0, thread_local=False):
                if not marker.is_file():
                    self._write_marker({"identity": self.identity, "done": []})
                yield
        except Timeout:
            raise GanError(
                f"{self.folder}: another `gan reproduce` works there; wait for it"
            ) from None

    def once(self, step: str, act: Callable[[], None]) -> None:
        """Do a step, unless it was completed before a kill."""
        marker = self._read_marker()
        if step not in marker["done"]:
            act()
            self._write_marker(marker | {"done": [*marker["done"], step]})

    def _read_marker(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / MARKER).read_text(encoding="utf-8")))

    def _write_marker(self, marker: dict[str, Any]) -> None:
        write_atomically(self.folder / MARKER, json.dumps(marker, indent=1) + "\n")

    def check_out(self, repository: Path, commit: str, patch: bytes | None) -> None:
        """Fill the folder with a commit's files and the changes on them; safe to repeat."""
        # the commit by its name, since that of an experiment is on no branch
        source = ("--no-tags", "--update-shallow", str(repository), commit)
        call(self.folder, "git", "init", "--quiet")
        call(self.folder, "git", "fetch", "--quiet", *source)
        call(self.folder, "git", "checkout", "--quiet", "--force", "--detach", commit)
        call(self.folder, "git", "clean", "--quiet", "-fd")  # of a patch that a kill interrupted
        apply_patch(patch, self.folder)

    def share(self, root: Path, cache: Path | None) -> None:
        """Use the DVC cache and remotes of the repository at `root`, and its user's files."""
        from dvc.config import Config

        original = Config(str(root / ".dvc"), validate=False)
        committed, local = original.load_one("repo"), original.load_one("local")
        local_file = self.folder / ".dvc/config.local"
        local_file.unlink(missing_ok=True)
        local_file.touch(mode=0o600)  # before it holds passwords of remotes
        with Config(str(self.folder / ".dvc"), validate=False).edit("local") as config:
            config.update(local)
            config["remote"] = committed["remote"] | local["remote"]
            if cache:
                config["cache"] = config["cache"] | {"dir": str(cache)}
        for name in USER_FOLDERS:
            for file in (root / name).rglob("*"):
                copy = self.folder / file.relative_to(root)
                if file.is_file() and not copy.exists():
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, copy)

    def run(self, *command: str) -> None:
        """Run a Python module in the folder, its output passed through; GanError if it fails."""
        with interrupting():
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=self.folder, env=clean_environment()
            )
            code = _wait(process)
        if code != 0:
            raise GanError(
                f"`{' '.join(command)}` in {self.folder} failed (exit code {code}); repair that "
                "and run the same command again, it resumes"
            )


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Exit code of a process, which is waited for also when this one is stopped: it has a
    checkpoint to save. SIGTERM is handed on, to the stage first: DVC would leave it behind."""
    try:
        return process.wait()
    except SystemExit as stop:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            for child in reversed(children) if stop.code == TERMINATED else ():
                with suppress(psutil.NoSuchProcess):
                    child.terminate()  # Ctrl-C went to them too
        process.wait()
        raise
